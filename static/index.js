// The entry page: fills in the address that this server was reached at, and links to the demo where there is one.

for (const element of document.querySelectorAll('[data-host]')) {
  element.textContent = location.hostname;
}
for (const element of document.querySelectorAll('[data-origin]')) {
  element.textContent = new URL('.', location.href).href.replace(/\/$/, '');
}
for (const element of document.querySelectorAll('[data-demo]')) {
  const reply = await fetch('live/demo.flv', { method: 'HEAD' });
  element.hidden = !reply.ok;
}
