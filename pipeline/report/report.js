"use strict";
// Tables of events: all rows from the packed data, filtered, sorted, a page at a time. Without this script the first rows stay.
(() => {
  const PAGE = 50;
  const stills = JSON.parse(document.getElementById("stills").textContent);
  const pictures = new Set([...stills.stills, ...Object.keys(stills.thumbnails)]);
  const clips = new Set(stills.clips);

  const element = (name, attributes = {}, ...children) => {
    const node = Object.assign(document.createElement(name), attributes);
    node.append(...children);
    return node;
  };

  async function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const data = JSON.parse(await new Response(stream).text());
    let now = 0;
    data.times = data.milliseconds.map((step) => (now += step));
    return data;
  }

  function clock(milliseconds, start) {
    if (start !== null) return new Date(start + milliseconds).toISOString().slice(0, 22).replace("T", " ");
    const tenths = Math.round(milliseconds / 10);
    const [hours, minutes, seconds] = [Math.floor(tenths / 360000), Math.floor(tenths / 6000) % 60, (tenths % 6000) / 100];
    return `${hours}:${String(minutes).padStart(2, "0")}:${seconds.toFixed(2).padStart(5, "0")}`;
  }

  class Table {
    constructor(root, data) {
      this.root = root;
      this.data = data;
      this.names = JSON.parse(root.dataset.columns);
      this.starts = data.starts.map((start) => (start === null ? null : Date.parse(start)));
      this.order = { key: "time", down: false };
      this.chosen = new Map();
      this.words = "";
      this.from = 0;
      // A column of one text says nothing: its filter and its cells are left out.
      this.shown = this.names.map((_, column) => column).filter((column) => data.texts[column].words.some((word) => word) && (data.texts[column].words.length > 1 || column > 2));
      this.build();
      this.update();
    }

    id(row) { return this.data.ids.slice(row * 16, row * 16 + 16); }
    text(column, row) { return this.data.texts[column].words[this.data.texts[column].rows[row]]; }

    build() {
      const filters = element("div", { className: "filters" });
      for (const column of this.shown.filter((column) => this.names[column] !== "details")) {
        const words = this.data.texts[column].words;
        if (words.length < 2) continue;
        const choice = element("select", {}, element("option", { value: "", textContent: "all" }));
        words.map((word, place) => [word, place]).sort().forEach(([word, place]) => choice.append(element("option", { value: place, textContent: word || "–" })));
        choice.name = this.names[column];
        choice.addEventListener("change", () => {
          if (choice.value === "") this.chosen.delete(column); else this.chosen.set(column, Number(choice.value));
          this.from = 0;
          this.update();
        });
        filters.append(element("label", {}, this.names[column], choice));
      }
      const search = element("input", { type: "search", name: "search", placeholder: "track, event id, text" });
      search.addEventListener("input", () => { this.words = search.value.trim().toLowerCase(); this.from = 0; this.update(); });
      filters.append(element("label", {}, "search", search));
      this.head = element("tr");
      this.body = element("tbody");
      this.where = element("span", { className: "soft" });
      this.where.setAttribute("aria-live", "polite");
      this.back = element("button", { type: "button", textContent: "Back" });
      this.on = element("button", { type: "button", textContent: "Next" });
      this.back.addEventListener("click", () => { this.from -= PAGE; this.update(); });
      this.on.addEventListener("click", () => { this.from += PAGE; this.update(); });
      for (const [key, name] of [["time", "time"], ...this.shown.map((column) => [column, this.names[column]]), ["track", "track"]]) {
        const sort = element("button", { type: "button", textContent: name });
        sort.addEventListener("click", () => {
          this.order = { key, down: this.order.key === key && !this.order.down };
          this.from = 0;
          this.update();
        });
        const cell = element("th", { scope: "col", className: key === "track" ? "n" : "" }, sort);
        cell.dataset.key = key;
        this.head.append(cell);
      }
      this.head.append(element("th", { scope: "col", textContent: "evidence" }));
      const table = element("table", { className: "stack" }, element("thead", {}, this.head), this.body);
      this.root.replaceChildren(filters, element("div", { className: "wide" }, table), element("div", { className: "pager" }, this.back, this.on, this.where));
    }

    rows() {
      const { texts, tracks, times } = this.data;
      let rows = times.map((_, row) => row);
      for (const [column, place] of this.chosen) rows = rows.filter((row) => texts[column].rows[row] === place);
      if (this.words) {
        const hits = texts.map(({ words }) => words.map((word) => word.toLowerCase().includes(this.words)));
        rows = rows.filter((row) => String(tracks[row]) === this.words || this.id(row).startsWith(this.words) || hits.some((hit, column) => hit[texts[column].rows[row]]));
      }
      const { key, down } = this.order;
      let rank;
      if (key === "time") rank = times;
      else if (key === "track") rank = tracks;
      else {
        const compare = new Intl.Collator("en", { numeric: true }).compare;
        const places = texts[key].words.map((word, place) => [word, place]).sort((a, b) => compare(a[0], b[0]));
        const ranks = [];
        places.forEach(([, place], position) => { ranks[place] = position; });
        rank = texts[key].rows.map((place) => ranks[place]);
      }
      const sign = down ? -1 : 1;
      return rows.sort((a, b) => sign * (rank[a] - rank[b]) || a - b);
    }

    update() {
      const rows = this.rows();
      const total = this.data.times.length;
      this.body.replaceChildren(...rows.slice(this.from, this.from + PAGE).map((row) => this.render(row)));
      const span = rows.length ? `${this.from + 1} to ${Math.min(this.from + PAGE, rows.length)} of ${rows.length.toLocaleString("en")}` : "No row fits the filters";
      this.where.textContent = rows.length === total ? span : `${span}, filtered from ${total.toLocaleString("en")}`;
      this.back.disabled = this.from === 0;
      this.on.disabled = this.from + PAGE >= rows.length;
      for (const cell of this.head.querySelectorAll("[data-key]")) {
        const sorted = String(this.order.key) === cell.dataset.key;
        cell.ariaSort = sorted ? (this.order.down ? "descending" : "ascending") : "none";
        const name = cell.firstChild.textContent.replace(/ [▲▼]$/, "");
        cell.firstChild.textContent = sorted ? `${name} ${this.order.down ? "▼" : "▲"}` : name;
      }
    }

    render(row) {
      const start = this.starts[this.data.texts[0].rows[row]];
      const cell = (name, text, className = "") => {
        const node = element("td", { className, textContent: text });
        node.dataset.name = name;
        return node;
      };
      return element(
        "tr",
        { title: `event ${this.id(row)}` },
        cell("time", clock(this.data.times[row], start)),
        ...this.shown.map((column) => cell(this.names[column], this.text(column, row))),
        cell("track", this.data.tracks[row] || "", "n"),
        this.evidence(this.id(row)),
      );
    }

    evidence(id) {
      const cell = element("td", { className: "pic" });
      const link = (ending, ...content) => element("a", { href: `${stills.place}/${id}.${ending}`, target: "_blank", rel: "noopener" }, ...content);
      if (stills.thumbnails[id]) cell.append(link("jpg", element("img", { src: `data:image/jpeg;base64,${stills.thumbnails[id]}`, alt: "picture of the event" })));
      else if (pictures.has(id)) cell.append(link("jpg", "picture"));
      if (clips.has(id)) cell.append(" ", link("mp4", "clip"));
      return cell;
    }
  }

  for (const root of document.querySelectorAll(".ledger[data-columns]")) {
    unpack(document.getElementById(root.dataset.packed).textContent)
      .then((data) => { new Table(root, data); root.dataset.ready = "yes"; })
      .catch(() => root.prepend(element("p", { className: "problem", textContent: "This browser cannot unpack the whole table; these are its first rows." })));
  }
})();
