// Buttons that copy a text.

/** Has the button copy a text, and say so. */
function copies(button, text) {
  const say = button.querySelector('[data-say]');
  const usual = say.textContent;
  let restore;
  button.addEventListener('click', async () => {
    clearTimeout(restore);
    say.textContent = await copy(text) ? 'Copied' : 'Not copied';
    restore = setTimeout(() => say.textContent = usual, 2000);
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

/** Fills a list with rows of a label, a text and a button that copies it. `template` is such a row, `of` whose they are. */
export function showAddresses(list, template, of, rows) {
  list.replaceChildren(...rows.map(([label, text]) => {
    const row = template.content.cloneNode(true);
    row.querySelector('[data-label]').textContent = label;
    row.querySelector('[data-text]').textContent = text;
    row.querySelector('[data-what]').textContent = `${label} of ${of}`;
    copies(row.querySelector('button'), text);
    return row;
  }));
}
