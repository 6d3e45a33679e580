// How mpegts.js gets a stream: its loader interface, over HTTP and over WebSocket.
//
// Its own HTTP loader leaves a connection open when the player goes away while nothing arrives (in Chrome, where six of
// those block the server for good), and hides Retry-After; its own WebSocket loader does not know why it was refused.
//
// `config.progress` is where a loader notes when it was answered, and when data came last.

import { socketUrl } from './addresses.js?v={{addresses.js}}';

class Loader {
  #working = false;
  #progress;
  #position = 0;
  #fault;

  constructor(seekHandler, config) {
    this.#progress = config.progress;
  }

  isWorking() {
    return this.#working;
  }

  abort() {
    this.#working = false;
    this.hangUp();
  }

  destroy() {
    this.abort();
  }

  async open(source) {
    this.#working = true;
    let failed = await this.receive(source.url)
      .catch((error) => ['Exception', { code: -1, msg: error.message }]);
    if (!this.#working) return; // aborted: nobody listens any more
    if (this.#fault) failed = ['Exception', { code: -1, msg: this.#fault.message, isOfMedia: true }];
    this.#working = false;
    if (failed) this.onError(...failed);
    else this.onComplete();
  }

  answered() {
    this.#progress.answered = performance.now();
  }

  /** Gives data on, unless nobody wants it any more. What is thrown at it is the data's fault, not the line's. */
  take(buffer) {
    if (!this.#working || this.#fault) return;
    this.#progress.arrived = performance.now();
    try {
      this.onDataArrival(buffer, this.#position);
    } catch (error) {
      this.#fault = error;
      this.hangUp();
    }
    this.#position += buffer.byteLength;
  }
}

export class HttpLoader extends Loader {
  type = 'rtmpd-http';
  #controller = new AbortController();

  hangUp() {
    this.#controller.abort();
  }

  async receive(source) {
    const response = await fetch(source, { cache: 'no-store', signal: this.#controller.signal });
    if (!response.ok) return refusal(response);
    this.answered();
    return this.giveOut(response);
  }

  async giveOut(response) {
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || !this.isWorking()) return null;
      this.take(value.buffer);
    }
  }
}

export class SocketLoader extends Loader {
  type = 'rtmpd-websocket';
  #socket;

  hangUp() {
    this.#socket?.close();
  }

  async receive(source) {
    const socket = this.#socket = new WebSocket(socketUrl(source));
    socket.binaryType = 'arraybuffer';
    let opened = false;
    socket.onopen = () => {
      opened = true;
      this.answered();
    };
    socket.onmessage = ({ data }) => this.take(data);
    const { wasClean, code } = await new Promise((resolve) => socket.onclose = resolve);
    if (opened) return wasClean && code < 1002 ? null : ['Exception', { code: -1, msg: `closed with code ${code}` }];
    if (!this.isWorking()) return null;
    // A WebSocket that is refused does not say why. HTTP does.
    const question = new URL(source);
    question.searchParams.set('wait', '0');
    const controller = new AbortController();
    const response = await fetch(question, { cache: 'no-store', signal: controller.signal });
    if (!response.ok) return refusal(response);
    controller.abort();
    return ['Exception', { code: -1, msg: 'WebSockets do not come through', isOfSockets: true }];
  }
}

/**
 * Fetches one picture (`?still=1`), and gives it out as two frames: mpegts.js waits for the next frame before it shows one.
 */
export class StillLoader extends HttpLoader {
  type = 'rtmpd-still';

  async giveOut(response) {
    const file = await response.arrayBuffer();
    // FLV: behind each tag stands its length, and its time begins at its fifth byte, with the highest byte last.
    const last = file.byteLength - 4 - new DataView(file).getUint32(file.byteLength - 4);
    const again = new DataView(file.slice(last));
    const time = (again.getUint32(4) >>> 8 | again.getUint8(7) << 24) + 40;
    again.setUint32(4, (time & 0xffffff) << 8 | time >>> 24);
    this.take(file);
    this.take(again.buffer);
    return null;
  }
}

async function refusal(response) {
  const retryAfter = Number(response.headers.get('Retry-After')) || 0;
  const isText = response.headers.get('Content-Type')?.startsWith('text/plain');
  const msg = isText ? (await response.text()).trim() : '';
  return ['HttpStatusCodeInvalid', { code: response.status, msg, retryAfter }];
}
