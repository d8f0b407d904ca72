"use strict";
(() => {
  // Sorts a table by a column; numbers as numbers, what is missing always last.
  for (const button of document.querySelectorAll("table.sortable th button")) {
    button.addEventListener("click", () => {
      const th = button.closest("th"), table = th.closest("table"), body = table.tBodies[0];
      const column = [...th.parentNode.children].indexOf(th);
      const way = th.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of th.parentNode.children) other.removeAttribute("aria-sort");
      th.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
      const key = (row) => {
        const cell = row.children[column];
        if (cell.dataset.number !== undefined) return +cell.dataset.number;
        if (cell.classList.contains("number")) return null;
        return cell.textContent.trim() === "–" ? null : cell.textContent.trim();
      };
      const rows = [...body.rows].map((row) => [key(row), row]);
      rows.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        return way * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
      });
      body.append(...rows.map(([, row]) => row));
    });
  }
  // Says of a table that is wider than its room that there is more of it.
  for (const region of document.querySelectorAll(".scroll")) {
    const cue = document.createElement("p");
    cue.className = "cue small";
    cue.textContent = "More columns to the right: scroll the table, or press Tab until it is framed and use the arrow keys";
    region.before(cue);
    const look = () => {
      const wide = region.scrollWidth - region.clientWidth;
      cue.hidden = wide < 2;
      region.classList.toggle("more-right", region.scrollLeft < wide - 1);
    };
    region.addEventListener("scroll", look, { passive: true });
    new ResizeObserver(look).observe(region);
    look();
  }
  // Shows the rows that contain what is typed.
  for (const input of document.querySelectorAll("input[data-filters]")) {
    const table = document.getElementById(input.dataset.filters);
    const count = document.getElementById(`${input.dataset.filters}-count`);
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/);
      let found = 0;
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        found += !row.hidden;
      }
      count.textContent = `${found} of ${table.tBodies[0].rows.length} rows`;
    });
  }
})();
