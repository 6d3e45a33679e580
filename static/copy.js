// Buttons that copy a text.

/** Has the button copy what `text` returns, and say so. */
export function copies(button, text) {
  const label = button.textContent;
  let restore;
  button.addEventListener('click', async () => {
    clearTimeout(restore);
    button.textContent = await copy(text()) ? 'Copied' : 'Not copied';
    restore = setTimeout(() => button.textContent = label, 2000);
  });
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyTheOldWay(text); // the clipboard is there on https and on localhost alone
  }
}

function copyTheOldWay(text) {
  const focused = document.activeElement;
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'unseen';
  document.body.append(area);
  area.select();
  const copied = document.execCommand('copy');
  area.remove();
  focused?.focus();
  return copied;
}

/** Fills a list with rows of a label, a text and a button that copies it. `template` is such a row. */
export function showAddresses(list, template, rows) {
  list.replaceChildren(...rows.map(([label, text]) => {
    const row = template.content.cloneNode(true);
    row.querySelector('[data-label]').textContent = label;
    row.querySelector('[data-text]').textContent = text;
    const button = row.querySelector('button');
    button.setAttribute('aria-label', `Copy: ${label}`);
    copies(button, () => text);
    return row;
  }));
}
