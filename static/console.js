// The entry page: all live streams as cards, kept up to date, and where to publish one.

import { partsOf, playerUrl, publishTo } from './addresses.js?v={{addresses.js}}';
import { Card } from './card.js?v={{card.js}}';
import { showAddresses } from './copy.js?v={{copy.js}}';
import { bitrate, duration } from './curve.js?v={{curve.js}}';
import { keep, kept } from './keep.js?v={{keep.js}}';

/** Pauses between two looks at the server, in ms: while it answers, and while it does not. */
const EVERY = 2000;
const RETRY = 4000;

/** Looks until the server itself is asked about again. */
const SUMMARY_EVERY = 15;

/** Streams in one answer, at most. */
const PAGE = 1000;

/** With so many streams it helps to filter them. */
const MANY = 7;

const PREVIEWS = 'previews';

const [list, nothing, trouble, summary, filter, previews, publish, nameForm, watch, publishAddresses, keyNeeded, addressRow] =
  ['streams', 'nothing', 'trouble', 'summary', 'filter', 'previews', 'publish', 'name', 'watch', 'publish-to', 'key-needed',
    'address'].map((id) => document.getElementById(id));

/** By the stream's name: a stream that begins anew keeps its card. */
const cards = new Map();
const visibility = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) target.card.visible = isIntersecting;
}, { rootMargin: '100px' });

let server = {};
let asked = 0; // when the server was asked about itself
let looks = 0;
let isFirst = true;
let timer;

/** For tests and scripts. */
const page = window.rtmpdConsole = { cards, looks: 0 };

/** Asks the server for everything, shows it, and does so again. */
async function look() {
  clearTimeout(timer);
  if (document.hidden) return; // until it is shown again
  try {
    if (looks++ % SUMMARY_EVERY === 0) showServer((await ask('summaries')).data);
    show(await allStreams());
    say('');
    timer = setTimeout(look, EVERY);
  } catch (error) {
    looks = 0;
    say(`${error.message}. Trying again…`);
    timer = setTimeout(look, RETRY);
  }
  page.looks += 1;
}

async function allStreams() {
  const streams = [];
  for (let total = 1; streams.length < total;) {
    const answer = await ask(`streams?history=1&start=${streams.length}&count=${PAGE}`);
    streams.push(...answer.streams);
    if (answer.streams.length === 0) break; // some have ended meanwhile
    total = answer.total;
  }
  return streams;
}

async function ask(what) {
  let response;
  try {
    response = await fetch(`api/v1/${what}`, { signal: AbortSignal.timeout(8000) });
  } catch {
    throw new Error('The server does not answer');
  }
  if (!response.ok) throw new Error(`The server answers ${response.status}`);
  return response.json();
}

function showServer(data) {
  const port = server.rtmp_port;
  server = data.self;
  asked = performance.now();
  document.title = `rtmpd – ${location.host}`;
  keyNeeded.hidden = !server.publish_needs_key;
  if (server.rtmp_port !== port) {
    showPublish();
    cards.forEach((card) => card.showAddresses(server.rtmp_port));
  }
}

function show(streams) {
  const names = new Set(streams.map((stream) => stream.url));
  for (const [name, card] of cards) {
    if (!names.has(name)) close(name, card);
  }
  streams.forEach((stream, index) => {
    const card = cards.get(stream.url) ?? open(stream);
    if (list.children[index] !== card.element) list.insertBefore(card.element, list.children[index] ?? null);
    card.show(stream, server.play_needs_link);
  });
  applyFilter();
  filter.parentElement.hidden = streams.length < MANY && !filter.value;
  nothing.hidden = streams.length > 0;
  if (isFirst) publish.open = streams.length === 0;
  isFirst = false;
  showTotals(streams);
}

function open(stream) {
  const card = new Card(document.getElementById('stream'), addressRow, stream);
  card.element.card = card;
  card.showAddresses(server.rtmp_port);
  card.all = previews.checked;
  cards.set(stream.url, card);
  visibility.observe(card.element);
  return card;
}

function close(name, card) {
  visibility.unobserve(card.element);
  card.close();
  card.element.remove();
  cards.delete(name);
}

function showTotals(streams) {
  const sum = (of) => streams.reduce((total, stream) => total + of(stream), 0);
  const viewers = sum((stream) => stream.viewers.total);
  summary.textContent = [
    count(streams.length, 'stream'),
    count(viewers, 'viewer'),
    `in ${bitrate(sum((stream) => stream.kbps.recv_10s))}`,
    `out ${bitrate(sum((stream) => stream.kbps.send_10s))}`,
    `version ${server.version}`,
    `up ${duration(server.uptime + (performance.now() - asked) / 1000)}`,
  ].join(' · ');
}

function count(number, noun) {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

function applyFilter() {
  const wanted = filter.value.trim().toLowerCase();
  for (const card of cards.values()) card.element.hidden = !card.name.toLowerCase().includes(wanted);
}

function say(text) {
  trouble.hidden = !text;
  if (trouble.textContent !== text) trouble.textContent = text;
}

/** Where the stream of the form is published and plays. */
function showPublish() {
  const parts = partsOf(nameForm.elements.app.value, nameForm.elements.stream.value);
  const { server: at, key, url } = publishTo(parts, server.rtmp_port);
  showAddresses(publishAddresses, addressRow, parts.join('/'), [
    ['OBS server', at],
    ['OBS stream key', key],
    ['ffmpeg', `ffmpeg -re -i video.mp4 -c:v libx264 -preset veryfast -tune zerolatency -g 50 -c:a aac -f flv ${url}`],
  ].filter(([, text]) => text));
  watch.href = playerUrl(parts);
}

filter.addEventListener('input', applyFilter);
nameForm.addEventListener('input', showPublish);
nameForm.addEventListener('submit', (event) => {
  event.preventDefault();
  location.href = watch.href;
});
previews.checked = kept(PREVIEWS) === '1';
previews.addEventListener('change', () => {
  keep(PREVIEWS, previews.checked ? '1' : '0');
  cards.forEach((card) => card.all = previews.checked);
});
document.addEventListener('visibilitychange', () => {
  cards.forEach((card) => card.all = previews.checked); // what nobody sees need not move
  if (!document.hidden) look();
});
showPublish();
look();
