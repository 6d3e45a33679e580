// The bitrate of the last minutes as a curve.

/** How many values there are at most: five seconds each. */
const LENGTH = 60;
const SECONDS = 5;

/** Draws bitrates (kbit/s, the oldest first) into an SVG element; the newest is at its right edge. */
export function drawCurve(svg, bitrates) {
  const { width, height } = svg.viewBox.baseVal;
  const peak = Math.max(...bitrates, 1);
  const step = width / (LENGTH - 1);
  const points = bitrates.map((value, index) => {
    const x = width - (bitrates.length - 1 - index) * step;
    return `${x.toFixed(1)} ${(height - 1 - value / peak * (height - 2)).toFixed(1)}`;
  });
  const line = points.length > 1 ? `M${points.join('L')}` : '';
  svg.querySelector('.line').setAttribute('d', line);
  svg.querySelector('.area').setAttribute('d', line && `${line}V${height}H${points[0].split(' ')[0]}Z`);
  const minutes = Math.max(1, Math.round(bitrates.length * SECONDS / 60));
  svg.querySelector('title').textContent = bitrates.length
    ? `Bitrate of the last ${minutes} min, at most ${bitrate(peak)}` : 'Bitrate';
}

/** Kilobits a second, as a person reads them. */
export function bitrate(kbps) {
  if (kbps < 1000) return `${Math.round(kbps)} kbit/s`;
  return kbps < 1e6 ? `${(kbps / 1000).toFixed(1)} Mbit/s` : `${(kbps / 1e6).toFixed(2)} Gbit/s`;
}

/** Seconds, likewise. */
export function duration(seconds) {
  const [d, h, m, s] = [seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60].map(Math.floor);
  if (d) return `${d} d ${h} h`;
  if (h) return `${h} h ${m} min`;
  return m ? `${m} min ${s} s` : `${s} s`;
}
