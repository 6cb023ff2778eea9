// A cell counts as the number it begins with: 0.3 [0.2, 0.4], 12%, 1,234, 2 of 5, > 128, just above 128. Words that stand
// for a missing number come last in both orders. A column with any other words in it is sorted as text.
const number = text => {
  const found = text.trim().replace(/,(?=\d{3})/g, "").replace(/^[−-](?=\d)/, "-")
    .match(/^(?:ε = )?([<>≤≥]?) *([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)/i);
  return found ? [Number(found[2]), {"<": -1, ">": 1}[found[1]] ?? 0] : null;
};
const missing = text => ["", "–", "-", "refused", "not in range", "nan"].includes(text.trim());
const compare = (a, b) => a[0] - b[0] || a[1] - b[1];
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    const text = row => row.cells[column].textContent;
    const rows = [...body.rows], full = rows.filter(row => !missing(text(row)));
    const numeric = full.every(row => number(text(row)));
    const order = (a, b) => numeric ? compare(number(text(a)), number(text(b)))
      : text(a).localeCompare(text(b), "en", {numeric: true});
    full.sort((a, b) => down ? order(b, a) : order(a, b));
    body.append(...full, ...rows.filter(row => missing(text(row))));
    heads.forEach(other => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
  }));
}
