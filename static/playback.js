// Plays one live stream in a video element with mpegts.js, and comes back by itself when the stream does.
//
// It is in one of these states, and dispatches `change` when that or its text changes:
//   idle          nothing is asked for before the viewer's click
//   connecting    asked, no answer yet
//   waiting       the stream is not live yet, or nothing of it arrives at the moment
//   playing       the picture moves (or the viewer paused it)
//   ended         the publisher stopped: ask until it comes back
//   reconnecting  the connection broke: ask again
//   refused       the viewer may not play it, for a reason that the server names: ask seldom
//   full          the server has no room: ask less often
//   unsupported   this browser cannot play it

import { HttpLoader, SocketLoader } from './loaders.js?v={{loaders.js}}';

const MESSAGES = {
  idle: 'Click to play',
  connecting: 'Connecting…',
  waiting: 'Waiting for the stream to go live…',
  playing: 'Live',
  ended: 'Stream ended, waiting for it to come back…',
  reconnecting: 'Connection lost, reconnecting…',
  full: 'The server is full, trying again…',
  refused: 'The server refuses to play this stream.',
};

/** First and longest pause before the next attempt, in ms. It doubles from one to the other. */
const PAUSES = {
  waiting: [500, 2000],
  ended: [500, 2000],
  reconnecting: [500, 8000],
  full: [3000, 30000],
  refused: [10000, 60000],
  unsupported: [5000, 60000],
};

/** Times in ms after which something is said or done about it. */
const SLOW_ANSWER = 2000; // the server holds a request for a stream that is not live yet
const HALTED = 2000; // the picture stands: say so
const STUCK = 10000; // it stands though data arrives: start over
const SILENT = 20000; // it stands and nothing arrives: start over, but let a publisher reconnect first
const GOOD_PLAY = 10000; // played for so long: earlier failures are history
const LONG_PAUSE = 60000; // paused for so long: let go of the stream, which would fill the memory

/** The delay to live in seconds, and how much more there may be before the picture is sped up, or jumps. */
export const DELAY = 0.5;
const DRIFT = 0.2;
const JUMP = 2;
const SPEED = 1.2;

/** A second halt for want of data within so many ms makes the delay longer, by this factor, up to so many seconds; so much
 *  time without one makes it shorter again. */
const HALTS_WITHIN = 60000;
const LENGTHEN = 1.5;
const MOST_DELAY = 4;

/** For so many ms after a jump, or after it was set going, a halt says nothing of the line. */
const SETTLING = 2000;

const CODECS = {
  'avc1': 'H.264', 'hvc1': 'HEVC', 'hev1': 'HEVC', 'av01': 'AV1', 'vp09': 'VP9',
  'mp4a': 'AAC', 'mp3': 'MP3', 'opus': 'Opus', 'flac': 'FLAC', 'ac-3': 'AC-3', 'ec-3': 'E-AC-3',
};

export class Playback extends EventTarget {
  state = 'idle';
  text = MESSAGES.idle;
  /** The tries since the last good play. */
  attempts = 0;

  #video;
  #url;
  #socket;
  #shortest; // the delay to live that is asked for, and the one that the line allows
  #delay;
  #player = null; // mpegts.js's, one for each connection
  #leaving = null; // the last one, while its picture may stay, and when that ends
  #leave;
  #info = {};
  #failure = null; // the state that the last failure led to; null after good play
  #pausedByViewer = false;
  #pausedSince = null;
  #asked = 0; // when this connection was asked for
  #progress = { answered: 0, arrived: 0 };
  #position = 0; // of the picture, when it last moved, since when it does, when it last had a reason not to
  #moved = 0;
  #playingSince = 0;
  #excused = 0;
  #halted = -Infinity; // when it last did for want of data, and when it was last set going
  #set = 0;
  #nextAttempt;
  #observer;

  /** `url` is the stream's over HTTP, `socket` says to use its WebSocket, `delay` is how far behind live to be, in seconds. */
  constructor(video, url, { socket = false, delay = DELAY } = {}) {
    super();
    this.#video = video;
    this.#url = url;
    this.#socket = socket;
    this.#delay = this.#shortest = delay;
    video.addEventListener('timeupdate', () => {
      this.#observe();
      this.#hold();
    });
    video.addEventListener('play', () => this.#pausedByViewer = false);
    video.addEventListener('pause', () => {
      // Browsers pause hidden pictures by themselves, and so does mpegts.js when it goes away.
      this.#pausedByViewer = this.#player !== null && video.paused && !video.ended && !document.hidden;
    });
    for (const event of ['seeking', 'play']) video.addEventListener(event, () => this.#set = performance.now());
    video.addEventListener('waiting', () => this.#noteHalt());
    video.addEventListener('error', () => this.#player && video.error && this.#onMediaError(video.error.message));
  }

  start() {
    this.stop();
    this.#failure = null;
    this.attempts = 0;
    this.#setState('connecting');
    this.#observer = setInterval(() => this.#observe(), 500);
    this.#nextAttempt = setTimeout(() => this.#connect()); // behind the end of the last one
  }

  /** Lets go of the stream. */
  stop() {
    clearTimeout(this.#nextAttempt);
    clearInterval(this.#observer);
    this.#drop(0);
    this.#setState('idle');
  }

  /** Plays another address, or another way, from now on. */
  use(url, socket) {
    this.#url = url;
    this.#socket = socket;
    if (this.state !== 'idle') this.start();
  }

  /** Pauses, or goes on. Where there is no picture, nothing more is asked for. */
  togglePause() {
    if (!this.#player) this.stop();
    else if (this.#video.paused) this.#play();
    else this.#video.pause();
  }

  /** Goes to where the stream is live. */
  goLive() {
    if (!this.#player) return;
    this.#jump();
    this.#play();
  }

  /** The names of the stream's codecs. */
  get codecs() {
    return [this.#info.videoCodec, this.#info.audioCodec].filter(Boolean).map(codecName);
  }

  /** Seconds of data in front of the picture. */
  get buffer() {
    const { buffered, currentTime } = this.#video;
    return buffered.length ? Math.max(0, buffered.end(buffered.length - 1) - currentTime) : 0;
  }

  /** Seconds between the picture and what the server sends now. */
  get delay() {
    return this.buffer + Math.max(0, performance.now() - this.#progress.arrived) / 1000;
  }

  /** Asks for the stream. The state stays what it is until something is known. */
  #connect() {
    this.#endLeaving();
    this.#asked = performance.now();
    const progress = this.#progress = { answered: 0, arrived: 0 };
    this.#pausedByViewer = false;
    const config = {
      progress,
      customLoader: this.#socket ? SocketLoader : HttpLoader,
      enableStashBuffer: false,
      lazyLoad: false,
      autoCleanupSourceBuffer: true,
      autoCleanupMaxBackwardDuration: 30,
      autoCleanupMinBackwardDuration: 10,
    };
    const current = this.#player = mpegts.createPlayer({ type: 'flv', url: this.#url, isLive: true }, config);
    const on = (event, handle) => current.on(event, (...args) => current === this.#player && handle(...args));
    on(mpegts.Events.MEDIA_INFO, (info) => this.#info = info);
    on(mpegts.Events.LOADING_COMPLETE, () => this.#onEnd());
    on(mpegts.Events.ERROR, (type, detail, info) => this.#onError(type, detail, info));
    current.attachMediaElement(this.#video);
    current.load();
    this.#play();
  }

  /** Browsers play sound after a click only; what was not to be muted is muted then. */
  async #play() {
    try {
      await this.#video.play();
    } catch (error) {
      if (error.name !== 'NotAllowedError') return;
      if (this.#video.muted) return this.stop();
      this.#video.muted = true;
      this.#play();
    }
  }

  /** In a later task, because mpegts.js calls back from the middle of its work. */
  #drop(delay) {
    this.#leaving = this.#player ?? this.#leaving;
    this.#player = null;
    clearTimeout(this.#leave);
    this.#leave = setTimeout(() => this.#endLeaving(), delay);
  }

  /** The next one needs the video element for itself. */
  #endLeaving() {
    clearTimeout(this.#leave);
    this.#leaving?.destroy();
    this.#leaving = null;
  }

  /** Puts itself in `state` and asks again after at least `atLeast` ms; `playOut` keeps the picture till then. */
  #retry(state, { text = MESSAGES[state], atLeast = 0, playOut = false } = {}) {
    if (this.#pausedByViewer) return this.stop();
    if (this.#failure !== state) this.attempts = 0;
    this.#failure = state;

    const [first, longest] = PAUSES[state];
    const tookLong = performance.now() - this.#asked > longest; // then that was the pause
    const pause = tookLong ? first : Math.min(first * 2 ** this.attempts, longest);
    const spread = 0.8 + 0.4 * Math.random(); // viewers that left together shall not come back together
    const delay = Math.max(pause * spread, atLeast);

    this.attempts += 1;
    this.#setState(state, state === 'reconnecting' ? `${text} (attempt ${this.attempts})` : text);
    this.#drop(playOut ? delay : 0);
    this.#nextAttempt = setTimeout(() => this.#connect(), delay);
  }

  /** The server closed the stream properly. What has arrived is played to its end. */
  #onEnd() {
    this.#retry('ended', { atLeast: this.buffer * 1000, playOut: true });
  }

  #onError(type, detail, info) {
    if (type !== mpegts.ErrorTypes.NETWORK_ERROR) {
      this.#onMediaError(info?.msg ?? info, detail);
    } else if (info?.isOfMedia) {
      this.#onMediaError(info.msg, mpegts.ErrorDetails.MEDIA_FORMAT_ERROR);
    } else if (info?.isOfSockets) {
      this.#socket = false;
      this.#retry('reconnecting', { text: `${info.msg}, going on over HTTP…` });
    } else if (detail !== mpegts.ErrorDetails.NETWORK_STATUS_CODE_INVALID) {
      this.#retry('reconnecting', { playOut: true });
    } else if (info.code === 404) {
      this.#retry(this.#failure === 'ended' ? 'ended' : 'waiting');
    } else if (info.code === 403) {
      this.#retry('refused', { text: info.msg || undefined }); // the server's own words, if not a proxy's
    } else if (info.code === 503 || info.code === 429) {
      this.#retry('full', { atLeast: info.retryAfter * 1000 });
    } else {
      this.#retry('reconnecting', { text: `The server answers ${info.code}, trying again…` });
    }
  }

  /** A stream that has played is worth another try at once; one that never did needs another browser. */
  #onMediaError(reason, detail) {
    if (this.#moved > this.#asked) return this.#retry('reconnecting', { text: 'Playback failed, starting again…' });
    const format = [mpegts.ErrorDetails.MEDIA_FORMAT_ERROR, mpegts.ErrorDetails.MEDIA_FORMAT_UNSUPPORTED];
    if (format.includes(detail)) {
      return this.#retry('unsupported', { text: `This stream cannot be played: ${reason}` });
    }
    const codec = /codecs="?([\w.-]+)/.exec(reason)?.[1]; // browsers name it somewhere in a long sentence
    const what = codec ? `${codecName(codec)} (${codec})` : reason;
    this.#retry('unsupported', { text: `This stream’s codec cannot be played by this browser: ${what}` });
  }

  /** Looks at the picture: only that it moves says that the stream plays. */
  #observe() {
    const now = performance.now();
    if (this.state === 'connecting' && now - this.#asked > SLOW_ANSWER) this.#setState('waiting');
    if (!this.#player) return;

    const video = this.#video;
    if (!video.paused) this.#pausedSince = null;
    else this.#pausedSince ??= now;
    const moves = video.currentTime !== this.#position && video.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA;
    this.#position = video.currentTime;
    if (moves) {
      this.#moved = now;
      if (this.state !== 'playing') this.#playingSince = now;
      this.#setState('playing');
      if (now - this.#playingSince > GOOD_PLAY) {
        this.#failure = null;
        this.attempts = 0;
      }
    } else if (video.paused) {
      this.#excused = now;
      this.#observePause(now - this.#pausedSince);
    } else if (document.hidden) {
      this.#excused = now;
    } else {
      this.#worry(now);
    }
  }

  /** One that nobody wanted, or that came while the page was hidden (from a media key, say), counts as the viewer's if it stays. */
  #observePause(time) {
    if (time > LONG_PAUSE) return this.stop();
    if (this.state !== 'playing') return;
    if (time > SETTLING && !document.hidden) this.#pausedByViewer = true;
    if (this.#pausedByViewer) this.#setState('playing', 'Paused');
  }

  /**
   * Stays behind live by the delay: what is a little more is caught up by playing faster, what is much more (after a pause, in a
   * tab that was hidden) by a jump. mpegts.js does the same, with a delay that cannot be changed as it goes.
   */
  #hold() {
    const video = this.#video;
    if (!this.#player || video.paused || video.seeking) return;
    const more = this.buffer - this.#delay;
    if (more > JUMP) this.#jump();
    else if (more > DRIFT) video.playbackRate = SPEED;
    else if (more < 0) video.playbackRate = 1;
    if (this.#delay > this.#shortest && performance.now() - this.#halted > HALTS_WITHIN) {
      this.#delay = Math.max(this.#shortest, this.#delay / LENGTHEN);
      this.#halted = performance.now();
    }
  }

  #jump() {
    const { buffered } = this.#video;
    if (buffered.length) this.#video.currentTime = Math.max(0, buffered.end(buffered.length - 1) - this.#delay);
  }

  /** The picture stands though it should move. */
  #worry(now) {
    const { answered, arrived } = this.#progress;
    if (!answered) return;
    const standing = now - Math.max(this.#moved, answered, this.#excused);
    const limit = now - arrived < HALTED ? STUCK : SILENT;
    if (standing > limit) this.#retry('reconnecting', { text: 'Playback stopped, starting again…' });
    else if (standing > HALTED && this.state === 'playing') this.#setState('waiting', 'Waiting for data…');
  }

  /** A line that is often late for the delay gets a longer one: the halt itself has made it so. */
  #noteHalt() {
    const now = performance.now();
    if (!this.#player || this.state !== 'playing' || document.hidden || now - this.#set < SETTLING) return;
    if (now - this.#halted < HALTS_WITHIN) this.#delay = Math.min(this.#delay * LENGTHEN, MOST_DELAY);
    this.#halted = now;
  }

  #setState(state, text = MESSAGES[state]) {
    if (this.state === state && this.text === text) return;
    this.state = state;
    this.text = text;
    this.dispatchEvent(new Event('change'));
  }
}

// What matters, the page itself says.
if (window.mpegts) mpegts.LoggingControl.enableAll = new URLSearchParams(location.search).has('debug');

function codecName(codec) {
  return CODECS[codec.split('.')[0].toLowerCase()] ?? codec;
}

/** Why no stream can be played here at all, if so. */
export function obstacle() {
  if (!window.mpegts) return 'The player (mpegts.js) could not be loaded. Reload the page to try again.';
  if (!mpegts.isSupported()) {
    return 'This browser cannot play live FLV (no Media Source Extensions). Another player can: see the addresses.';
  }
  return null;
}
