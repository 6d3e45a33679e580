// One picture of a live stream.

import { StillLoader } from './loaders.js?v={{loaders.js}}';

/** How long a picture may take, in ms. */
const LIMIT = 10000;

/** Wider ones are drawn so wide, in pixels. */
const WIDEST = 640;

/** Draws the newest picture of the stream at `url`. Throws what is to be said where there is none. */
export async function drawStill(url, canvas) {
  const video = document.createElement('video');
  video.muted = true;
  const config = { customLoader: StillLoader, progress: {}, enableStashBuffer: false };
  const player = mpegts.createPlayer({ type: 'flv', url: `${url}?still=1`, isLive: false, hasAudio: false }, config);
  try {
    await new Promise((resolve, reject) => {
      // Data alone is not enough: what is drawn then is sometimes black.
      if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(resolve);
      else video.addEventListener('loadeddata', () => setTimeout(resolve, 100));
      player.on(mpegts.Events.ERROR, (type, detail, info) => reject(new Error(reason(type, info))));
      setTimeout(() => reject(new Error('No picture')), LIMIT);
      player.attachMediaElement(video);
      player.load();
    });
    draw(video, canvas);
  } finally {
    setTimeout(() => player.destroy()); // it may be in the middle of something
  }
}

/** Draws what a video element shows. */
export function draw(video, canvas) {
  if (!video.videoWidth) return;
  canvas.width = Math.min(video.videoWidth, WIDEST);
  canvas.height = Math.round(canvas.width * video.videoHeight / video.videoWidth);
  canvas.getContext('2d').drawImage(video, 0, 0, canvas.width, canvas.height);
}

function reason(type, info) {
  if (type !== mpegts.ErrorTypes.NETWORK_ERROR || info.isOfMedia) return 'This browser cannot show it';
  return info.code > 0 && info.msg || 'No picture'; // the server's own words, if not a proxy's
}
