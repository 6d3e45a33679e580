// Where a stream is played and published. All addresses hang below the one that this server was reached at, which a proxy
// may have given a path of its own.

/** The server's own address, with a slash at its end; modules lie one folder below it. */
export const root = new URL('..', import.meta.url);

/** The parts of a stream's name, of which the app is all but the last. */
export function partsOf(...names) {
  return names.join('/').split('/').filter(Boolean);
}

/** Over HTTP. The default stream, which has no name, has an address of its own. */
export function mediaUrl(parts, parameters = []) {
  const path = parts.length ? `${parts.map(encodeURIComponent).join('/')}.flv` : 'service/httpflv';
  return withParameters(new URL(path, root), parameters);
}

/** The same as a WebSocket. */
export function socketUrl(url) {
  return url.replace(/^http/, 'ws');
}

/** The page that plays it. */
export function playerUrl(parts, parameters = []) {
  const name = parts.length ? [['app', parts.slice(0, -1).join('/')], ['stream', parts.at(-1)]] : [];
  return withParameters(new URL('resource/httpflv', root), [...name.filter(([, value]) => value), ...parameters]);
}

/** What a page of another site needs to show the player and nothing else. Over WebSocket, as the player does: browsers open no more
 *  than six connections of HTTP/1.1. */
export function embedCode(parts, parameters = []) {
  const url = playerUrl(parts, [...parameters, ['embed', '1']]).replaceAll('&', '&amp;');
  return `<iframe src="${url}" width="640" height="360" style="border:0" allow="autoplay; fullscreen; picture-in-picture" allowfullscreen></iframe>`;
}

/** Where encoders send it, as OBS wants it: a server, and a stream key. */
export function publishTo(parts, port = 1935) {
  const server = [`rtmp://${root.hostname}${port === 1935 ? '' : `:${port}`}`, ...parts.slice(0, -1)].join('/');
  const key = parts.at(-1) ?? '';
  // In one piece a lone name would be taken for the app, which makes no difference.
  return { server, key, url: key ? `${server}/${key}` : server };
}

function withParameters(url, parameters) {
  for (const [key, value] of parameters) url.searchParams.append(key, value);
  return url.href;
}
