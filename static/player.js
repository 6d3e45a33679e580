// The player page: one live stream, at /resource/httpflv?app=APP&stream=NAME.
//
// `autoplay=1` begins without a click, `muted=1` without sound, `embed=1` shows the picture alone, for frames in pages of other
// sites; `transport=http` plays over HTTP instead of WebSocket, `delay=SECONDS` sets how far behind live to be; other parameters are the
// stream's (`start`, `track`, `only`, `signature` and the like).

import { embedCode, mediaUrl, partsOf, playerUrl, socketUrl } from './addresses.js?v={{addresses.js}}';
import { prepareControls, showControls } from './controls.js?v={{controls.js}}';
import { showAddresses } from './copy.js?v={{copy.js}}';
import { DELAY, Playback, obstacle } from './playback.js?v={{playback.js}}';

const [stage, video, playButton, message, details, startChoice, transportChoice] =
  ['stage', 'video', 'play', 'message', 'details', 'start', 'transport'].map((id) => document.getElementById(id));

const OURS = ['app', 'stream', 'autoplay', 'muted', 'embed', 'transport', 'delay', 'debug'];
const query = new URLSearchParams(location.search);
const parts = partsOf(query.get('app') ?? '', query.get('stream') ?? '');

const name = parts.join('/') || 'Default stream';
const playback = new Playback(video, url(), { socket: isOverSocket(), delay: wantedDelay() });

/** For tests and scripts. */
window.rtmpdPlayer = playback;

/** What is asked of the stream itself. */
function parameters() {
  return [...query].filter(([key]) => !OURS.includes(key));
}

function url() {
  return mediaUrl(parts, parameters());
}

function isOverSocket() {
  return query.get('transport') !== 'http';
}

function wantedDelay() {
  const delay = Number(query.get('delay'));
  return delay >= 0.1 && delay <= 10 ? delay : DELAY;
}

function showState() {
  const { state, text } = playback;
  stage.dataset.state = state;
  playButton.hidden = state !== 'idle' || obstacle() !== null;
  if (message.textContent !== text) message.textContent = text; // screen readers read every change
  showFigures();
}

function showFigures() {
  showControls(playback);
  if (playback.state !== 'playing') {
    details.textContent = '';
    return;
  }
  const { droppedVideoFrames, totalVideoFrames } = video.getVideoPlaybackQuality();
  details.textContent = [
    video.videoWidth ? `${video.videoWidth} × ${video.videoHeight}` : 'Audio only',
    playback.codecs.join(', '),
    `${playback.delay.toFixed(1)} s behind live`,
    `${playback.buffer.toFixed(1)} s buffered`,
    video.videoWidth && `${droppedVideoFrames} of ${totalVideoFrames} frames dropped`,
  ].filter(Boolean).join(' · ');
}

function showPage() {
  document.title = `${name} – rtmpd`;
  document.getElementById('stream').textContent = name;
  document.body.classList.toggle('embed', query.get('embed') === '1');
  startChoice.value = query.get('start') ?? '';
  transportChoice.value = isOverSocket() ? 'ws' : 'http';
  showAllAddresses();
}

function showAllAddresses() {
  const rows = [
    ['HTTP-FLV', url()],
    ['WebSocket-FLV', socketUrl(url())],
    ['This page', playerUrl(parts, parameters())],
    ['For your page', embedCode(parts, [...parameters(), ['autoplay', '1'], ['muted', '1']])],
  ];
  showAddresses(document.getElementById('addresses'), document.getElementById('address'), name, rows);
}

/** Takes a choice up, and keeps it in the page's address. */
function choose(key, value, usual) {
  if (value === usual) query.delete(key);
  else query.set(key, value);
  history.replaceState(null, '', query.size ? `?${query}` : location.pathname);
  showAllAddresses();
  playback.use(url(), isOverSocket());
}

function preparePlayer() {
  const why = obstacle();
  if (why) {
    stage.dataset.state = 'unsupported';
    message.textContent = why;
    return;
  }
  playback.addEventListener('change', showState);
  prepareControls(playback);
  playButton.addEventListener('click', () => {
    playback.start();
    video.focus({ preventScroll: true }); // so that the keyboard goes on with the player's keys
  });
  startChoice.addEventListener('change', () => choose('start', startChoice.value, ''));
  transportChoice.addEventListener('change', () => choose('transport', transportChoice.value, 'ws'));
  setInterval(showFigures, 500);

  showState();
  video.muted = query.get('muted') === '1';
  if (query.get('autoplay') === '1') playback.start();
}

showPage();
preparePlayer();
