// A live stream's card on the entry page.

import { embedCode, mediaUrl, partsOf, playerUrl, publishTo, socketUrl } from './addresses.js?v={{addresses.js}}';
import { showAddresses } from './copy.js?v={{copy.js}}';
import { bitrate, drawCurve, duration } from './curve.js?v={{curve.js}}';
import { Preview } from './preview.js?v={{preview.js}}';

const CHANNELS = { 1: 'mono', 2: 'stereo' };

export class Card {
  /** What it is filtered by. */
  name;
  element;
  #parts;
  #preview;
  #addressRow;

  /** Made from a `template`, whose addresses are made from `addressRow`, for a stream as the API shows it. */
  constructor(template, addressRow, stream) {
    this.#addressRow = addressRow;
    this.#parts = partsOf(stream.url);
    this.name = this.#parts.join('/') || 'Default stream';
    this.element = template.content.cloneNode(true).firstElementChild;
    this.#at('name').textContent = this.name;
    for (const link of this.element.querySelectorAll('[data-link]')) link.href = playerUrl(this.#parts);
    const say = (text) => this.#at('blank').textContent = text;
    this.#preview = new Preview(this.element.querySelector('.picture'), this.#parts, say);
  }

  set visible(is) {
    this.#preview.visible = is;
  }

  set all(is) {
    this.#preview.all = is;
  }

  close() {
    this.#preview.close();
  }

  /** Shows what the API says of the stream, and whether pictures of it are to be had without a signed link. */
  show(stream, needsLink) {
    const { lost_ms: lost, viewers, health } = stream;
    const isLost = lost !== null;
    this.element.classList.toggle('lost', isLost);
    this.#write('state', isLost ? `Encoder gone for ${Math.round(lost / 1000)} s` : 'Live');
    this.#write('viewers', viewers.total);
    this.#write('format', format(stream));
    this.#write('bitrate', bitrate(stream.kbps.recv_10s));
    this.#write('times', times(stream));
    drawCurve(this.#at('curve'), [...stream.history, stream.kbps.recv_10s]);
    this.#showHealth(health);
    this.#preview.update(stream.video === null ? 'Sound only' : needsLink ? 'Plays with a signed link alone' : '');
  }

  showAddresses(rtmpPort) {
    const { server, key, url } = publishTo(this.#parts, rtmpPort);
    const media = mediaUrl(this.#parts);
    showAddresses(this.#at('addresses'), this.#addressRow, this.name, [
      ['Player', playerUrl(this.#parts)],
      ['HTTP-FLV', media],
      ['WebSocket-FLV', socketUrl(media)],
      ['For a page', embedCode(this.#parts, [['autoplay', '1'], ['muted', '1']])],
      ['Publish', url],
      ['OBS server', server],
      ['OBS stream key', key],
    ].filter(([, text]) => text));
  }

  #showHealth(warnings) {
    const list = this.#at('health');
    const texts = warnings.map((warning) => warning.text);
    if (texts.join() === [...list.children].map((item) => item.textContent).join()) return;
    list.replaceChildren(...texts.map((text) => {
      const item = document.createElement('li');
      item.textContent = text;
      return item;
    }));
  }

  #at(name) {
    return this.element.querySelector(`[data-${name}]`);
  }

  /** Changes what it says, if that is not there already. */
  #write(name, text) {
    const element = this.#at(name);
    if (element.textContent !== String(text)) element.textContent = text;
  }
}

function format({ video, audio, frame_rate: rate }) {
  const size = video?.width && `${video.width} × ${video.height}`;
  const sound = audio && [
    audio.codec,
    audio.sample_rate && `${audio.sample_rate / 1000} kHz`,
    audio.channel && (CHANNELS[audio.channel] ?? `${audio.channel} channels`),
  ].filter(Boolean).join(' ');
  const picture = video && [video.codec, size, rate && `${rate < 10 ? rate.toFixed(1) : Math.round(rate)} fps`].filter(Boolean).join(' ');
  return [picture, sound].filter(Boolean).join(' · ');
}

function times({ uptime, keyframe_interval: interval, resumes, skips }) {
  return [
    `live for ${duration(uptime)}`,
    interval && `keyframe every ${Math.round(interval * 10) / 10} s`,
    resumes && `${resumes}× resumed`,
    skips && `${skips} skips`,
  ].filter(Boolean).join(' · ');
}
