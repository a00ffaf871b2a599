// The dashboard: what is asked of the port, how often, and who shows it. Nothing is asked while nobody
// looks.
import { call, listen, onTokenNeeded } from "./api.js";
import { addStats, lastTime, startCharts } from "./charts.js";
import { confirm, promptToken } from "./dialog.js";
import { $, facts, set, text } from "./dom.js";
import { startExplain } from "./explain.js";
import { showFlow, showListeners, startFlow } from "./flow.js";
import { age, clock } from "./format.js";
import { onInstanceChanged } from "./instances.js";
import { startLinks } from "./links.js";
import { showAttention, showConsul, showDocuments, showEvent } from "./panels.js";

const kStates = { ready: "good", starting: "warn", draining: "bad" };

const known = { status: null, config: null, model: { routes: [], upstreams: [] } };
let heardAt = null;

// --- the gateway answers, or not -----------------------------------------------------------------

function answered() {
  heardAt = new Date();
  $("away").hidden = true;
}

function silent(error) {
  const since = heardAt ? ` Shown is what was known at ${clock(heardAt)}.` : "";
  text($("away"), `The gateway does not answer (${error.message}).${since}`);
  $("away").hidden = false;
}

// --- what is read --------------------------------------------------------------------------------

const readers = {
  async stats() {
    addStats(await call(`/v1/stats?since=${lastTime()}`));
  },
  async status() {
    const status = await call("/v1/status");
    known.status = status;
    text($("state"), status.state);
    set($("state"), "data-tone", kStates[status.state]);
    facts($("facts"), [
      ["version", status.version],
      ["up", age(status.uptime_s)],
      ["revision", status.config_revision],
      ["workers", status.workers],
    ]);
    $("drain").disabled = status.state === "draining";
    showConsul(status);
    showListeners(status.listeners);
  },
  async flow() {
    const [routes, upstreams] = await Promise.all([call("/v1/routes"), call("/v1/upstreams")]);
    known.model = showFlow(routes, upstreams);
  },
  async config() {
    known.config = await call("/v1/config");
    showDocuments(known.config);
  },
};

// Each is read again some time after its last answer: `every` ms, and no more than a twentieth of the
// time, however large the gateway is. `soon` asks for it at once.
class Reader {
  constructor(name, every) {
    Object.assign(this, { name, every, timer: 0, busy: false, again: false });
  }

  soon(delay = 0) {
    if (this.busy) {
      this.again = true;
      return;
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#read(), delay);
  }

  async #read() {
    if (document.hidden) return;
    this.busy = true;
    this.again = false;
    const began = performance.now();
    try {
      await readers[this.name]();
      answered();
      showAttention(known.status, known.config, known.model);
    } catch (error) {
      silent(error);
    }
    this.busy = false;
    const took = performance.now() - began;
    this.soon(this.again ? 100 : Math.max(this.every, 20 * took));
  }
}

const stats = new Reader("stats", 1000);
const status = new Reader("status", 2000);
const flow = new Reader("flow", 3000);
const config = new Reader("config", 15000);
const all = [status, stats, flow, config];

// --- events --------------------------------------------------------------------------------------

function onEvent(event) {
  showEvent(event);
  if (event.event === "config") config.soon(50);
  if (event.event === "state" || event.event === "config") status.soon(50);
  flow.soon(50);
}

function onLive(on) {
  set($("live"), "data-on", String(on));
  text($("live-text"), on ? "live" : "reconnecting");
  if (on) all.forEach((reader) => reader.soon());
}

async function drain() {
  const sure = await confirm({
    title: "Drain this gateway?",
    lines: ["It takes itself out of the catalog, finishes the requests under way, and its process ends. There is no way back but a new start."],
    yes: "Drain",
    danger: true,
  });
  if (!sure) return;
  try {
    await call("/v1/drain", "POST");
  } catch (error) {
    silent(error);
  }
  status.soon();
}

onTokenNeeded(promptToken);
onInstanceChanged(() => flow.soon());
startCharts();
startFlow();
startLinks();
startExplain();
$("drain").addEventListener("click", drain);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) all.forEach((reader) => reader.soon());
});
all.forEach((reader) => reader.soon());
listen(onEvent, onLive);
