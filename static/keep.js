// What a browser remembers for us. It may be told not to, above all in a frame of another site.

/** What was kept under `key`, or null. */
export function kept(key) {
  try {
    return localStorage.getItem(`rtmpd-${key}`);
  } catch {
    return null;
  }
}

export function keep(key, value) {
  try {
    localStorage.setItem(`rtmpd-${key}`, value);
  } catch { /* then not */ }
}
