// The player's buttons and keys.

import { keep, kept } from './keep.js?v={{keep.js}}';

const [stage, video, bar, pause, mute, volume, live, liveText, pip, full] =
  ['stage', 'video', 'controls', 'pause', 'mute', 'volume', 'live', 'live-text', 'pip', 'full']
    .map((id) => document.getElementById(id));

/** Further behind live than this, in seconds, the live button says so. */
const NOTICEABLE = 3;

const VOLUME_STEP = 0.1;
const VOLUME = 'volume';

/** The last volume at which something was heard. */
let audible = 1;

/** Connects them with a playback. */
export function prepareControls(playback) {
  const keys = {
    k: () => playback.togglePause(),
    ' ': () => playback.togglePause(),
    m: toggleMute,
    l: () => playback.goLive(),
    f: () => toggleFullScreen(),
    p: () => togglePictureInPicture(),
    ArrowUp: () => setVolume(video.volume + VOLUME_STEP),
    ArrowDown: () => setVolume(video.volume - VOLUME_STEP),
  };
  pause.addEventListener('click', keys.k);
  mute.addEventListener('click', keys.m);
  volume.addEventListener('input', () => setVolume(volume.valueAsNumber));
  live.addEventListener('click', keys.l);
  pip.addEventListener('click', keys.p);
  full.addEventListener('click', keys.f);
  pip.hidden = !document.pictureInPictureEnabled;
  full.hidden = !document.fullscreenEnabled && !video.webkitEnterFullscreen;
  stage.addEventListener('dblclick', (event) => event.target === video && toggleFullScreen());
  video.addEventListener('click', () => !bar.hidden && keys.k());
  for (const event of ['play', 'pause']) video.addEventListener(event, showPause);
  video.addEventListener('volumechange', showVolume);
  document.addEventListener('keydown', (event) => {
    const { key, target } = event;
    const isTaken = event.ctrlKey || event.altKey || event.metaKey || target.closest('input, select, textarea')
      || (key === ' ' && target.closest('button, a, summary'))
      || (key.startsWith('Arrow') && !isAtStage(target)); // elsewhere they scroll
    if (bar.hidden || isTaken || !(key in keys)) return;
    event.preventDefault();
    keys[key]();
  });
  restoreVolume();
  showVolume();
}

/** Shows them while there is something to control, and how far behind live the picture is. */
export function showControls(playback) {
  bar.hidden = playback.state === 'idle' || playback.state === 'unsupported';
  const isLate = playback.state === 'playing' && playback.delay > NOTICEABLE;
  live.dataset.late = isLate || video.paused;
  liveText.textContent = playback.state === 'playing' ? `Live −${playback.delay.toFixed(1)} s` : 'Live';
}

/** Whether a key is meant for the player. */
function isAtStage(target) {
  return stage.contains(target) || document.fullscreenElement === stage || document.body.classList.contains('embed');
}

function toggleMute() {
  if (video.muted || video.volume === 0) setVolume(audible);
  else video.muted = true;
}

function showPause() {
  pause.dataset.on = !video.paused;
  pause.setAttribute('aria-label', video.paused ? 'Play' : 'Pause');
}

function setVolume(to) {
  video.volume = Math.min(Math.max(to, 0), 1);
  video.muted = video.volume === 0;
  if (video.muted) return;
  audible = video.volume;
  keep(VOLUME, audible);
}

function showVolume() {
  const isHeard = !video.muted && video.volume > 0;
  mute.dataset.on = isHeard;
  mute.setAttribute('aria-pressed', !isHeard);
  volume.value = isHeard ? video.volume : 0;
}

function restoreVolume() {
  const level = Number(kept(VOLUME) ?? 1);
  if (level > 0 && level <= 1) video.volume = audible = level;
}

function toggleFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (stage.requestFullscreen) stage.requestFullscreen().catch(() => {});
  else video.webkitEnterFullscreen?.(); // iPhones
}

function togglePictureInPicture() {
  if (document.pictureInPictureElement) document.exitPictureInPicture();
  else video.requestPictureInPicture?.().catch(() => {});
}
