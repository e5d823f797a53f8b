/* The hosts on the page: makes, places and draws them, some at a time, so that no frame is held for long. */

import { Bound } from "./bound.js";
import { Host } from "./host.js";
import { said, words } from "./show.js";

const BUDGET_MS = 2;

export class Board {
  /** `draw(host, node)` fills one in. Hosts that the server drew are taken over. */
  constructor(box, draw) {
    Object.assign(this, { box, draw, nodes: new Map(), groups: [], hosts: new Map(), sections: new Map() });
    this.pending = new Set();
    this.inSight = new Set();
    this.sight = new IntersectionObserver((seen) => this.look(seen), { rootMargin: "50%" });
    for (const section of box.children) this.sections.set(section.dataset.group, new Section(section));
    for (const root of box.querySelectorAll("article")) this.know(new Host(Number(root.dataset.key), root));
  }

  /** What is to be seen: the hosts by id, and their groups `[{key, nodes}]`. */
  show(nodes, groups, isGrouped) {
    Object.assign(this, { nodes, groups, isGrouped });
    this.tidy();
    this.ask();
  }

  /** These have other figures than before. */
  touch(ids) {
    for (const id of ids) this.pending.add(id);
    this.ask();
  }

  /** Whether the reader points at one, or works in it, so that they should stay where they are. */
  get isHeld() {
    const points = matchMedia("(hover: hover)").matches && this.box.matches(":hover");
    return points || this.box.contains(document.activeElement);
  }

  know(host) {
    this.hosts.set(host.id, host);
    this.sight.observe(host.root);
  }

  look(seen) {
    for (const { target, isIntersecting } of seen) {
      const id = Number(target.dataset.key);
      if (isIntersecting) this.inSight.add(id);
      else this.inSight.delete(id);
    }
    if (this.pending.size) this.ask();
  }

  ask() {
    this.asked ??= requestAnimationFrame(() => {
      this.asked = undefined;
      if (!this.frame(performance.now() + BUDGET_MS)) this.ask();
    });
  }

  /** Make, place and draw until that time; whether all is done. */
  frame(until) {
    const isWhole = this.make(until);
    this.place();
    const order = [...this.pending].sort((one, other) => this.inSight.has(other) - this.inSight.has(one));
    for (const id of order) {
      if (performance.now() > until) return false;
      this.pending.delete(id);
      const host = this.hosts.get(id);
      if (host) this.draw(host, this.nodes.get(id));
    }
    return isWhole;
  }

  /** Make the hosts that are new, those at the top first. */
  make(until) {
    for (const { nodes } of this.groups) {
      for (const { id } of nodes) {
        if (this.hosts.has(id)) continue;
        if (performance.now() > until) return false;
        const host = new Host(id);
        this.know(host);
        this.pending.delete(id);
        this.draw(host, this.nodes.get(id));
      }
    }
    return true;
  }

  place() {
    let before = this.box.firstElementChild;
    for (const { key, nodes } of this.groups) {
      const section = this.section(key);
      if (section.root === before) before = before.nextElementSibling;
      else this.box.insertBefore(section.root, before);
      section.put(key, nodes, this.isGrouped);
      section.place(nodes.map(({ id }) => this.hosts.get(id)?.root).filter(Boolean));
    }
  }

  section(key) {
    if (!this.sections.has(key)) {
      const root = document.getElementById("t-group").content.firstElementChild.cloneNode(true);
      this.sections.set(key, new Section(root));
    }
    return this.sections.get(key);
  }

  /** Drop what is gone, and take away what is not to be seen. */
  tidy() {
    const shown = new Set(this.groups.flatMap(({ nodes }) => nodes.map(({ id }) => id)));
    for (const [id, host] of this.hosts) {
      if (!shown.has(id)) host.root.remove();
      if (!this.nodes.has(id)) this.drop(id, host);
    }
    const keys = new Set(this.groups.map(({ key }) => key));
    for (const [key, section] of this.sections) {
      if (keys.has(key)) continue;
      section.root.remove();
      this.sections.delete(key);
    }
  }

  drop(id, host) {
    this.sight.unobserve(host.root);
    this.hosts.delete(id);
    this.pending.delete(id);
    this.inSight.delete(id);
  }
}

/** One group's heading and its hosts. */
class Section {
  constructor(root) {
    this.root = root;
    this.list = root.querySelector(".hosts");
    this.bound = new Bound(root.querySelector("h2"));
  }

  put(key, nodes, isGrouped) {
    const online = nodes.filter((node) => node.online).length;
    this.bound.put({
      grouped: isGrouped,
      group: key || words.host.none,
      "group-online": said(words.host.online_of, { online, all: nodes.length }),
    });
  }

  /** Those that stay are not touched, with what is typed into them. */
  place(roots) {
    let before = this.list.firstElementChild;
    for (const root of roots) {
      if (root === before) before = before.nextElementSibling;
      else this.list.insertBefore(root, before);
    }
  }
}
