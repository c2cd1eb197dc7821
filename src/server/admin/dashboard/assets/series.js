// The last hour of all tiers: what the gateway kept, continued by what it tells each second.

export const TIERS = ["p0", "p1", "p2"];

/** The columns of `/v1/history`, and where a status has their number. */
const COLUMNS = {
  depth: (tier) => tier.depth,
  target: (tier) => tier.target,
  drain: (tier) => tier.recent_drain,
  rate: (tier) => tier.rate,
  oldest_age_seconds: (tier) => tier.oldest_age_seconds ?? 0,
  signal_age_seconds: (tier) => tier.signal_age_seconds,
  retry_after_seconds: (tier) => (tier.retry_after_seconds.count ? tier.retry_after_seconds.p50 : null),
  latency_p50_seconds: (tier) => (tier.latency_seconds.count ? tier.latency_seconds.p50 : null),
  latency_p99_seconds: (tier) => (tier.latency_seconds.count ? tier.latency_seconds.p99 : null),
  demand: (tier) => tier.flow.demand,
  admitted: (tier) => tier.flow.admitted,
  throttled: (tier) => tier.flow.throttled,
  shed: (tier) => tier.flow.shed,
  refused_otherwise: (tier) => tier.flow.refused_otherwise,
  expired: (tier) => tier.flow.expired,
  dead: (tier) => tier.flow.dead,
};

/** All points, the oldest first; the last one is of this second. */
export class Series {
  constructor() {
    this.times = [];
    this.tiers = Object.fromEntries(TIERS.map((tier) => [tier, empty()]));
    /** Whether the last point still moves. */
    this.open = false;
    this.step = 5000;
  }

  /** Begins anew with what the gateway kept. */
  load(history) {
    this.times = history.times.map((time) => Date.parse(time));
    for (const tier of TIERS) {
      const ages = history.tiers[tier].oldest_age_seconds;
      // Where nothing waits nothing is old.
      this.tiers[tier] = { ...history.tiers[tier], oldest_age_seconds: ages.map((age) => age ?? 0) };
    }
    this.step = history.step_seconds * 1000;
    this.open = false;
  }

  /** Goes on with a status: the last point moves until a step has passed. */
  add(status) {
    const now = Date.parse(status.time);
    const closed = this.times.length - (this.open ? 1 : 0);
    const last = closed > 0 ? this.times[closed - 1] : -Infinity;
    if (this.open) this.#drop();
    this.#push(now, status);
    this.open = now - last < this.step;
    while (this.times.length > 0 && this.times[0] < now - HOUR) this.#shift();
  }

  /** The index of the point nearest to a time. */
  nearest(time) {
    let best = 0;
    for (let index = 1; index < this.times.length; index += 1) {
      if (Math.abs(this.times[index] - time) < Math.abs(this.times[best] - time)) best = index;
    }
    return best;
  }

  #push(now, status) {
    this.times.push(now);
    for (const tier of TIERS) {
      for (const [name, of] of Object.entries(COLUMNS)) this.tiers[tier][name].push(of(status.tiers[tier]) ?? null);
    }
  }

  #drop() {
    this.times.pop();
    for (const tier of TIERS) for (const name of Object.keys(COLUMNS)) this.tiers[tier][name].pop();
  }

  #shift() {
    this.times.shift();
    for (const tier of TIERS) for (const name of Object.keys(COLUMNS)) this.tiers[tier][name].shift();
  }
}

const empty = () => Object.fromEntries(Object.keys(COLUMNS).map((name) => [name, []]));

const HOUR = 3600 * 1000;
