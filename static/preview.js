// The picture of a stream on its card: a still that is taken anew now and then, or the stream itself without sound.

import { mediaUrl } from './addresses.js?v={{addresses.js}}';
import { Playback, obstacle } from './playback.js?v={{playback.js}}';
import { draw, drawStill } from './still.js?v={{still.js}}';

/** How old a still may get, in ms, and for how long one that cannot be had is not asked for. */
const STILL_AGE = 10000;
const STILL_PAUSE = 30000;

/** How long to point at a picture before it moves, in ms. */
const HOVER = 300;

/** Stills that are taken at a time: browsers have few connections. */
const AT_A_TIME = 2;
let underWay = 0;

export class Preview {
  #canvas;
  #video;
  #url;
  #say;
  #live;
  #isMoving = false;
  #isTaking = false;
  #due = 0; // when the next still is
  #hasVideo = false;
  #visible = false;
  #pointedAt = false;
  #all = false;

  /** `picture` has a canvas and a video. `say` is told what to show instead: nothing while there is a picture. */
  constructor(picture, parts, say) {
    this.#canvas = picture.querySelector('canvas');
    this.#video = picture.querySelector('video');
    this.#url = mediaUrl(parts);
    this.#say = say;
    this.#live = new Playback(this.#video, mediaUrl(parts, [['only', 'video']]), { socket: true });
    this.#live.addEventListener('change', () => this.#show());
    let timer;
    const point = (is, delay) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        this.#pointedAt = is;
        this.#settle();
      }, delay);
    };
    picture.addEventListener('pointerenter', (event) => event.pointerType === 'mouse' && point(true, HOVER));
    picture.addEventListener('pointerleave', () => point(false, 0));
  }

  set visible(is) {
    this.#visible = is;
    this.#settle();
  }

  /** Whether all pictures on the screen move. */
  set all(is) {
    this.#all = is;
    this.#settle();
  }

  /** Takes a new still if it is time, of a stream with video. */
  async refresh(hasVideo) {
    this.#hasVideo = hasVideo;
    this.#settle();
    if (!hasVideo) return this.#say('Sound only');
    if (!this.#visible || this.#isMoving || this.#isTaking || underWay >= AT_A_TIME) return;
    if (performance.now() < this.#due) return;
    this.#isTaking = true;
    underWay += 1;
    try {
      await drawStill(this.#url, this.#canvas);
      this.#due = performance.now() + STILL_AGE;
      this.#say('');
    } catch (error) {
      this.#due = performance.now() + STILL_PAUSE;
      this.#say(error.message);
    }
    this.#isTaking = false;
    underWay -= 1;
  }

  #settle() {
    const moves = this.#hasVideo && this.#visible && (this.#pointedAt || this.#all) && !obstacle();
    if (moves === this.#isMoving) return;
    this.#isMoving = moves;
    if (moves) return this.#live.start();
    draw(this.#video, this.#canvas); // the last picture stays
    this.#due = performance.now() + STILL_AGE;
    this.#live.stop();
  }

  #show() {
    const { state, text } = this.#live;
    this.#video.hidden = state !== 'playing';
    if (state === 'playing') this.#say('');
    else if (!['idle', 'connecting'].includes(state)) this.#say(text);
  }
}
