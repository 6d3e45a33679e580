// The picture of a stream on its card: a still that is taken anew now and then, or the stream itself without sound.

import { mediaUrl } from './addresses.js?v={{addresses.js}}';
import { Playback, obstacle } from './playback.js?v={{playback.js}}';
import { draw, drawStill } from './still.js?v={{still.js}}';

/** How old a still may get, in ms, and for how long one that cannot be had is not asked for. */
const STILL_AGE = 10000;
const STILL_PAUSE = 60000;

/** How long to point at a picture before it moves, in ms. */
const HOVER = 300;

/** Stills that are taken at a time: browsers have few connections. */
const AT_A_TIME = 2;
let underWay = 0;

/** Of all cards. */
const previews = new Set();

/** Takes the stills that are due, those first that have waited longest. */
function takeStills() {
  const now = performance.now();
  const due = [...previews].filter((preview) => preview.isDue(now)).sort((one, other) => one.due - other.due);
  for (const preview of due.slice(0, AT_A_TIME - underWay)) {
    underWay += 1;
    preview.takeStill().finally(() => {
      underWay -= 1;
      takeStills();
    });
  }
}

export class Preview {
  /** When the next still is. */
  due = 0;

  #canvas;
  #video;
  #url;
  #say;
  #live;
  #why = null; // why there is no picture; null before anything is known
  #isMoving = false;
  #isTaking = false;
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
    previews.add(this);
  }

  close() {
    previews.delete(this);
    this.#settle();
  }

  set visible(is) {
    this.#visible = is;
    this.#settle();
    takeStills();
  }

  /** Whether all pictures on the screen move. */
  set all(is) {
    this.#all = is;
    this.#settle();
  }

  /** Takes why there can be no picture, or nothing. Called now and then. */
  update(why) {
    if (why !== this.#why) this.#say(why);
    this.#why = why;
    this.#settle();
    takeStills();
  }

  isDue(now) {
    return this.#why === '' && this.#visible && !this.#isMoving && !this.#isTaking && now >= this.due && !obstacle();
  }

  async takeStill() {
    this.#isTaking = true;
    try {
      await drawStill(this.#url, this.#canvas);
      this.due = performance.now() + STILL_AGE;
      this.#say('');
    } catch (error) {
      this.due = performance.now() + STILL_PAUSE;
      this.#say(error.message);
    }
    this.#isTaking = false;
  }

  #settle() {
    const isWanted = previews.has(this) && this.#visible && !document.hidden && (this.#pointedAt || this.#all);
    const moves = isWanted && this.#why === '' && !obstacle();
    if (moves === this.#isMoving) return;
    this.#isMoving = moves;
    if (moves) return this.#live.start();
    draw(this.#video, this.#canvas); // the last picture stays
    this.due = performance.now() + STILL_AGE;
    this.#live.stop();
  }

  #show() {
    const { state, text } = this.#live;
    this.#video.hidden = state !== 'playing';
    if (state === 'playing') this.#say('');
    else if (!['idle', 'connecting'].includes(state)) this.#say(text);
  }
}
