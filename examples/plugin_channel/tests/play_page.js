// Plays page.html: runs its script on as much of a browser as it uses, takes the steps that come as JSON, and
// tells what is to be seen after each. node play_page.js page.html '[["type", "hello"], ...]'
const fs = require("fs");

class Element {
  constructor() { this.children = []; this.className = ""; this.id = ""; this.text = ""; this.value = ""; this.hidden = false; }
  get textContent() { return this.text + this.children.map(child => child.textContent).join(""); }
  set textContent(text) { this.text = text; this.children = []; }
  appendChild(child) { return this.insertBefore(child, null); }
  insertBefore(child, before) {
    child.remove();
    const at = before === null ? this.children.length : this.children.indexOf(before);
    this.children.splice(at, 0, child);
    child.parent = this;
    return child;
  }
  remove() { if (this.parent) this.parent.children = this.parent.children.filter(child => child !== this); }
  replaceChildren() { this.children = []; }
  querySelector(selector) {
    return this.children.find(child => child.className.split(" ").includes(selector.slice(1))) || null;
  }
  scrollIntoView() {}
}

class Storage {  // what a page puts into it stays text, and its methods are there, too
  items = new Map();
  getItem(name) { return this.items.has(name) ? this.items.get(name) : null; }
  setItem(name, value) { this.items.set(name, String(value)); }
  key(index) { return [...this.items.keys()][index] ?? null; }
}

class WebSocket {
  static OPEN = 1;
  constructor(url) { this.url = url; this.readyState = 0; this.sent = []; WebSocket.last = this; }
  send(data) { this.sent.push(JSON.parse(data)); }
}

const [, , file, steps] = process.argv;
const script = /<script>([^]*)<\/script>/.exec(fs.readFileSync(file, "utf8"))[1];
const sessionStorage = new Storage();
let nodes, timers;

function open() {
  nodes = {"#messages": new Element(), "#stop": new Element(), input: new Element(), form: new Element()};
  nodes["#stop"].hidden = true;
  timers = [];
  const document = {
    querySelector: selector => nodes[selector],
    createElement: () => new Element(),
    getElementById: id => nodes["#messages"].children.find(child => child.id === id) || null,
  };
  const location = {protocol: "http:", host: "bot"};
  const names = {document, sessionStorage, WebSocket, location, crypto, setTimeout: work => timers.push(work)};
  new Function(...Object.keys(names), script)(...Object.values(names));
}

const does = {
  open,  // as a reload does, too
  connect() { if (timers.length) timers.shift()(); WebSocket.last.readyState = 1; WebSocket.last.onopen(); },
  frame(frame) { WebSocket.last.onmessage({data: JSON.stringify(frame)}); },
  lose() { WebSocket.last.readyState = 3; WebSocket.last.onclose(); },
  type(text) { nodes.input.value = text; nodes.form.onsubmit({preventDefault() {}}); },
  stop() { nodes["#stop"].onclick(); },
};
const seen = JSON.parse(steps).map(([step, given]) => {
  does[step](given);
  return {
    messages: nodes["#messages"].children.map(child => [child.className, child.textContent]),
    stop: !nodes["#stop"].hidden,
    url: WebSocket.last.url,
    sent: WebSocket.last.sent.splice(0),
  };
});
console.log(JSON.stringify(seen));
