/* Keeps conversations in this browser, for one person each: IndexedDB, or memory where the browser keeps nothing. */

const VERSION = 1;

export class Store {
  /** A store for this person; `isKept` is false where nothing outlives the page. */
  static async open(user) {
    try {
      const asking = indexedDB.open(`chat-${user}`, VERSION);
      asking.onupgradeneeded = () => {
        asking.result.createObjectStore("talks", { keyPath: "id" });
        asking.result.createObjectStore("heads", { keyPath: "id" });
      };
      return new Store(await answer(asking), user);
    } catch {
      return new Store(null, user); // a private window, or a browser that forbids it
    }
  }

  constructor(database, user) {
    this.database = database;
    this.isKept = database !== null;
    this.memory = new Map();
    this.onchange = () => {};
    // Another window of the same browser may change what is kept.
    this.others = new BroadcastChannel(`chat-${user}`);
    this.others.onmessage = (event) => this.onchange(event.data);
  }

  /** `{id, title, changed}` of all conversations, the newest first. */
  async heads() {
    const all = this.database ? await answer(this.at("heads").getAll()) : [...this.memory.values()].map(head);
    return all.sort((one, other) => other.changed - one.changed);
  }

  async get(id) {
    const found = this.database ? await answer(this.at("talks").get(id)) : this.memory.get(id);
    return found && structuredClone(found);
  }

  /** Keep a conversation. Throws where there is no room. */
  async put(talk) {
    if (!this.database) return void this.memory.set(talk.id, structuredClone(talk));
    const change = this.database.transaction(["talks", "heads"], "readwrite");
    change.objectStore("talks").put(talk);
    change.objectStore("heads").put(head(talk));
    await done(change);
    this.others.postMessage(talk.id);
  }

  async remove(id) {
    if (!this.database) return void this.memory.delete(id);
    const change = this.database.transaction(["talks", "heads"], "readwrite");
    change.objectStore("talks").delete(id);
    change.objectStore("heads").delete(id);
    await done(change);
    this.others.postMessage(id);
  }

  /** The ids of conversations with all these words in them, one at a time, so that many are no burden. */
  async search(wanted) {
    const found = new Set();
    const take = (talk) => hasAll(textOf(talk), wanted) && found.add(talk.id);
    if (!this.database) for (const talk of this.memory.values()) take(talk);
    else await each(this.at("talks").openCursor(), take);
    return found;
  }

  at(name) {
    return this.database.transaction(name).objectStore(name);
  }
}

const head = ({ id, title, changed }) => ({ id, title, changed });

function textOf(talk) {
  const parts = talk.turns.flatMap((turn) => [turn.text, ...turn.answers.map((one) => one.text)]);
  return [talk.title, ...parts].join("\n").toLowerCase();
}

const hasAll = (text, wanted) => wanted.every((word) => text.includes(word));

function answer(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function done(change) {
  return new Promise((resolve, reject) => {
    change.oncomplete = () => resolve();
    change.onabort = change.onerror = () => reject(change.error);
  });
}

function each(request, take) {
  return new Promise((resolve, reject) => {
    request.onerror = () => reject(request.error);
    request.onsuccess = () => {
      if (!request.result) return resolve();
      take(request.result.value);
      request.result.continue();
    };
  });
}
