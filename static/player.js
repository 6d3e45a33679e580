// The player page: plays one live stream with mpegts.js, and comes back by itself when the stream does.
//
// The page is in one of these states, which #stage carries in data-state:
//   idle          nothing is asked for before the viewer's click
//   connecting    asked, no answer yet
//   waiting       the stream is not live yet, or nothing of it arrives at the moment
//   playing       the picture moves (or the viewer paused it)
//   ended         the publisher stopped: ask until it comes back
//   reconnecting  the connection broke: ask again
//   refused       the viewer may not play it, for a reason that the server names: ask seldom
//   full          the server has no room: ask less often
//   unsupported   this browser cannot play it

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
  unsupported: [5000, 5000],
};

/** Times in ms after which something is said or done about it. */
const SLOW_ANSWER = 2000; // the server holds a request for a stream that is not live yet
const HALTED = 2000; // the picture stands: say so
const STUCK = 10000; // it stands though data arrives: start over
const SILENT = 20000; // it stands and nothing arrives: start over, but let a publisher reconnect first
const GOOD_PLAY = 10000; // played for so long: earlier failures are history

const CODECS = {
  'avc1': 'H.264', 'hvc1': 'H.265', 'hev1': 'H.265', 'av01': 'AV1', 'vp09': 'VP9',
  'mp4a': 'AAC', 'mp3': 'MP3', 'opus': 'Opus', 'flac': 'FLAC', 'ac-3': 'AC-3', 'ec-3': 'E-AC-3',
};

const [stage, video, playButton, message, details, address, copyButton] =
  ['stage', 'video', 'play', 'message', 'details', 'url', 'copy'].map((id) => document.getElementById(id));

const query = new URLSearchParams(location.search);
const parts = `${query.get('app') ?? ''}/${query.get('stream') ?? ''}`.split('/').filter(Boolean);
const url = mediaUrl();

/** For tests and scripts: `attempts` counts the tries since the last good play. */
const page = window.rtmpdPlayer = { state: 'idle', url, attempts: 0 };

let player = null; // mpegts.js's, one for each connection
let mediaInfo = {};
let failure = null; // the state that the last failure led to; null after good play
let pausedByViewer = false;
let asked = 0; // when this connection was asked for, answered, and last brought data
let answered = 0;
let arrived = 0;
let position = 0; // of the picture, when it last moved, since when it does, when it last had a reason not to
let moved = 0;
let playingSince = 0;
let excused = 0;
let nextAttempt;

/** The default stream has an address of its own; what else the page was asked for goes to the stream. */
function mediaUrl() {
  const path = parts.length ? `${parts.map(encodeURIComponent).join('/')}.flv` : 'service/httpflv';
  const media = new URL(`../${path}`, location.href);
  for (const [key, value] of query) {
    if (!['app', 'stream', 'autoplay', 'debug'].includes(key)) media.searchParams.append(key, value);
  }
  return media.href;
}

/**
 * Fetches the stream for mpegts.js. Its own loader leaves a connection open when the player goes away while
 * nothing arrives (in Chrome, where six of those block the server for good), and hides Retry-After.
 */
class LiveLoader {
  type = 'live-loader';
  #working = false;
  #controller = new AbortController();

  isWorking() {
    return this.#working;
  }

  abort() {
    this.#working = false;
    this.#controller.abort();
  }

  destroy() {
    this.abort();
  }

  async open(source) {
    this.#working = true;
    const failed = await this.#receive(source.url)
      .catch((error) => ['Exception', { code: -1, msg: error.message }]);
    if (!this.#working) return; // aborted: nobody listens any more
    this.#working = false;
    if (failed) this.onError(...failed);
    else this.onComplete();
  }

  async #receive(source) {
    const response = await fetch(source, { cache: 'no-store', signal: this.#controller.signal });
    if (!response.ok) {
      const retryAfter = Number(response.headers.get('Retry-After')) || 0;
      const isText = response.headers.get('Content-Type')?.startsWith('text/plain');
      const msg = isText ? (await response.text()).trim() : '';
      return ['HttpStatusCodeInvalid', { code: response.status, msg, retryAfter }];
    }
    answered = performance.now();
    const reader = response.body.getReader();
    for (let start = 0; ;) {
      const { done, value } = await reader.read();
      if (done || !this.#working) return null;
      arrived = performance.now();
      this.onDataArrival(value.buffer, start);
      start += value.byteLength;
    }
  }
}

const CONFIG = {
  customLoader: LiveLoader,
  enableStashBuffer: false,
  lazyLoad: false,
  // A small delay is caught up by playing faster, a large one (after the first keyframes came in one go,
  // after a pause, in a tab that was hidden) by a jump.
  liveSync: true,
  liveSyncMaxLatency: 1.2,
  liveSyncTargetLatency: 0.8,
  liveSyncPlaybackRate: 1.2,
  liveBufferLatencyChasing: true,
  liveBufferLatencyMaxLatency: 3,
  liveBufferLatencyMinRemain: 0.8,
  autoCleanupSourceBuffer: true,
  autoCleanupMaxBackwardDuration: 30,
  autoCleanupMinBackwardDuration: 10,
};

function start() {
  failure = null;
  page.attempts = 0;
  setState('connecting');
  connect();
}

/** Asks for the stream. The state stays what it is until something is known. */
function connect() {
  asked = performance.now();
  answered = 0;
  pausedByViewer = false;
  const current = player = mpegts.createPlayer({ type: 'flv', url, isLive: true }, CONFIG);
  player.on(mpegts.Events.MEDIA_INFO, (info) => mediaInfo = info);
  player.on(mpegts.Events.LOADING_COMPLETE, () => current === player && onEnd());
  player.on(mpegts.Events.ERROR, (type, detail, info) => current === player && onError(type, detail, info));
  player.attachMediaElement(video);
  player.load();
  video.play().catch((error) => {
    if (error.name === 'NotAllowedError') stop(); // the browser wants a click first
  });
}

/** Goes back to the play button. */
function stop() {
  clearTimeout(nextAttempt);
  drop(0);
  setState('idle');
}

/** In a later task, because mpegts.js calls back from the middle of its work. */
function drop(delay) {
  const old = player;
  player = null;
  if (old) setTimeout(() => old.destroy(), delay);
}

/** Puts the page in `state` and asks again after at least `atLeast` ms; `playOut` keeps the picture till then. */
function retry(state, { text = MESSAGES[state], atLeast = 0, playOut = false } = {}) {
  if (pausedByViewer) return stop();
  if (failure !== state) page.attempts = 0;
  failure = state;

  const [first, longest] = PAUSES[state];
  const tookLong = performance.now() - asked > longest; // then that was the pause
  const pause = tookLong ? first : Math.min(first * 2 ** page.attempts, longest);
  const spread = 0.8 + 0.4 * Math.random(); // viewers that left together shall not come back together
  const delay = Math.max(pause * spread, atLeast);

  page.attempts += 1;
  setState(state, state === 'reconnecting' ? `${text} (attempt ${page.attempts})` : text);
  drop(playOut ? delay : 0);
  nextAttempt = setTimeout(connect, delay);
}

/** The server closed the stream properly. What has arrived is played to its end. */
function onEnd() {
  retry('ended', { atLeast: behindLive() * 1000, playOut: true });
}

function onError(type, detail, info) {
  if (type !== mpegts.ErrorTypes.NETWORK_ERROR) {
    onMediaError(info?.msg ?? info, detail);
  } else if (detail !== mpegts.ErrorDetails.NETWORK_STATUS_CODE_INVALID) {
    retry('reconnecting', { playOut: true });
  } else if (info.code === 404) {
    retry(failure === 'ended' ? 'ended' : 'waiting');
  } else if (info.code === 403) {
    retry('refused', { text: info.msg || undefined }); // the server's own words, if not a proxy's
  } else if (info.code === 503 || info.code === 429) {
    retry('full', { atLeast: info.retryAfter * 1000 });
  } else {
    retry('reconnecting', { text: `The server answers ${info.code}, trying again…` });
  }
}

/** A stream that has played is worth another try at once; one that never did needs another browser. */
function onMediaError(reason, detail) {
  if (moved > asked) return retry('reconnecting', { text: 'Playback failed, starting again…' });
  const format = [mpegts.ErrorDetails.MEDIA_FORMAT_ERROR, mpegts.ErrorDetails.MEDIA_FORMAT_UNSUPPORTED];
  if (format.includes(detail)) {
    return retry('unsupported', { text: `This stream cannot be played: ${reason}` });
  }
  const codec = /codecs="?([\w.-]+)/.exec(reason)?.[1]; // browsers name it somewhere in a long sentence
  const what = codec ? `${codecName(codec)} (${codec})` : reason;
  retry('unsupported', { text: `This stream’s codec cannot be played by this browser: ${what}` });
}

/** Looks at the picture: only that it moves says that the stream plays. */
function observe() {
  const now = performance.now();
  if (page.state === 'connecting' && now - asked > SLOW_ANSWER) setState('waiting');
  if (!player) return;

  const moves = video.currentTime !== position && video.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA;
  position = video.currentTime;
  if (moves) {
    moved = now;
    if (page.state !== 'playing') playingSince = now;
    setState('playing');
    if (now - playingSince > GOOD_PLAY) {
      failure = null;
      page.attempts = 0;
    }
  } else if (video.paused || document.hidden) {
    excused = now;
    if (pausedByViewer && page.state === 'playing') setState('playing', 'Paused');
  } else {
    worry(now);
  }
}

/** The picture stands though it should move. */
function worry(now) {
  if (!answered) return;
  const standing = now - Math.max(moved, answered, excused);
  const limit = now - arrived < HALTED ? STUCK : SILENT;
  if (standing > limit) retry('reconnecting', { text: 'Playback stopped, starting again…' });
  else if (standing > HALTED && page.state === 'playing') setState('waiting', 'Waiting for data…');
}

/** Seconds between the picture and the newest data. */
function behindLive() {
  const { buffered } = video;
  return buffered.length ? Math.max(0, buffered.end(buffered.length - 1) - video.currentTime) : 0;
}

function setState(state, text = MESSAGES[state]) {
  page.state = state;
  stage.dataset.state = state;
  playButton.hidden = state !== 'idle';
  video.controls = state === 'playing' || document.fullscreenElement === video;
  if (message.textContent !== text) message.textContent = text; // screen readers read every change
}

function showDetails() {
  if (page.state !== 'playing') {
    details.textContent = '';
    return;
  }
  const codecs = [mediaInfo.videoCodec, mediaInfo.audioCodec].filter(Boolean);
  details.title = codecs.join(', ');
  details.textContent = [
    video.videoWidth ? `${video.videoWidth} × ${video.videoHeight}` : 'Audio only',
    codecs.map(codecName).join(', '),
    `${behindLive().toFixed(1)} s behind live`,
  ].filter(Boolean).join(' · ');
}

function codecName(codec) {
  return CODECS[codec.split('.')[0].toLowerCase()] ?? codec;
}

async function copyAddress() {
  address.select();
  // The clipboard is only there on https and on localhost; the old way works everywhere.
  if (navigator.clipboard) await navigator.clipboard.writeText(url);
  else document.execCommand('copy');
  copyButton.textContent = 'Copied';
  setTimeout(() => copyButton.textContent = 'Copy', 2000);
}

function showPage() {
  const name = parts.join('/') || 'Default stream';
  document.title = `${name} – rtmpd`;
  document.getElementById('stream').textContent = name;
  address.value = url;
  copyButton.addEventListener('click', copyAddress);
}

function preparePlayer() {
  if (!window.mpegts) {
    return setState('unsupported', 'The player (mpegts.js) could not be loaded. Reload the page to try again.');
  }
  if (!mpegts.isSupported()) {
    return setState('unsupported',
      'This browser cannot play live FLV (no Media Source Extensions). Another player can: see the address below.');
  }
  mpegts.LoggingControl.enableAll = query.has('debug'); // what matters, the page itself says

  playButton.addEventListener('click', () => {
    start();
    video.focus({ preventScroll: true }); // so that the keyboard goes on with the player's controls
  });
  video.addEventListener('timeupdate', observe);
  video.addEventListener('play', () => pausedByViewer = false);
  video.addEventListener('pause', () => {
    // Browsers pause hidden pictures by themselves, and so does mpegts.js when it goes away.
    pausedByViewer = player !== null && video.paused && !video.ended && !document.hidden;
  });
  video.addEventListener('error', () => player && video.error && onMediaError(video.error.message));
  setInterval(observe, 500);
  setInterval(showDetails, 1000);

  setState('idle');
  if (query.get('autoplay') === '1') {
    video.muted = true; // browsers play sound after a click only
    start();
  }
}

showPage();
preparePlayer();
