// The entry page: fills in the address that this server was reached at.

for (const element of document.querySelectorAll('[data-host]')) {
  element.textContent = location.hostname;
}
for (const element of document.querySelectorAll('[data-origin]')) {
  element.textContent = new URL('.', location.href).href.replace(/\/$/, '');
}
