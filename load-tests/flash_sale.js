// A flash sale: the arrival rate steps from 100 to 2,000 jobs/s and back, while workers drain 100 jobs/s.
//
// Open model: clients arrive at their rate whatever the answers are, and a refused one does not come back.
// `make load-test` starts a gateway with policies/flash-sale.yaml and runs this; against a gateway of yours:
//   k6 run -e INGEST=127.0.0.1:8080 -e ADMIN=127.0.0.1:9090 load-tests/flash_sale.js

import http from 'k6/http';
import exec from 'k6/execution';
import { Counter, Rate, Trend } from 'k6/metrics';

import { drainOnce } from './workers.js';

const INGEST = `http://${__ENV.INGEST || '127.0.0.1:8080'}`;
const ADMIN = `http://${__ENV.ADMIN || '127.0.0.1:9090'}`;

const TIERS = ['p0', 'p1', 'p2'];
const CALM_SECONDS = 15;
const SALE_SECONDS = 45;
const AFTER_SECONDS = 20;

// Jobs/s of each tier before and after the sale, and in it: 100 and 2,000 in all.
const OFFERED = { p0: [10, 30], p1: [30, 470], p2: [60, 1500] };

// The workers: ten calls a second lease ten jobs each, over all tiers, and acknowledge them.
const LEASES_PER_SECOND = 10;
const JOBS_PER_LEASE = 10;

const offered = counters('offered');
const admitted = counters('admitted');
const throttled = counters('throttled');
const shed = counters('shed');
const refusedOtherwise = counters('refused_otherwise');
const depth = trends('depth');
const depthOverTarget = trends('depth_over_target');
const p0Calm = new Trend('p0_duration_calm', true);
const p0Sale = new Trend('p0_duration_sale', true);
const p0Success = new Rate('p0_success');
const retryAfterGiven = new Rate('retry_after_given');
const unexpected = new Counter('unexpected_answers');
const drained = new Counter('drained');

export const options = {
  scenarios: {
    p0: sale('p0'),
    p1: sale('p1'),
    p2: sale('p2'),
    workers: steady('drain', LEASES_PER_SECOND, 10),
    watch: steady('watch', 10, 2),
  },
  thresholds: {
    p0_success: ['rate>0.999'],
    retry_after_given: ['rate==1'],
    unexpected_answers: ['count==0'],
  },
  summaryTrendStats: ['med', 'p(99)', 'max'],
};

function counters(name) {
  return Object.fromEntries(TIERS.map((tier) => [tier, new Counter(`${tier}_${name}`)]));
}

function trends(name) {
  return Object.fromEntries(TIERS.map((tier) => [tier, new Trend(`${tier}_${name}`)]));
}

function sale(tier) {
  const [calm, rush] = OFFERED[tier];
  return {
    executor: 'ramping-arrival-rate',
    exec: tier,
    startRate: calm,
    stages: [
      { target: calm, duration: `${CALM_SECONDS}s` },
      { target: rush, duration: '0s' },
      { target: rush, duration: `${SALE_SECONDS}s` },
      { target: calm, duration: '0s' },
      { target: calm, duration: `${AFTER_SECONDS}s` },
    ],
    // Few enough that in calm times each connection is used again before the gateway closes it as idle
    // (limits.header_timeout): a request that meets the closing is lost, as with any server.
    preAllocatedVUs: Math.ceil(rush / 10),
    maxVUs: rush,
  };
}

function steady(what, perSecond, users) {
  return {
    executor: 'constant-arrival-rate',
    exec: what,
    rate: perSecond,
    duration: `${CALM_SECONDS + SALE_SECONDS + AFTER_SECONDS}s`,
    preAllocatedVUs: users,
    maxVUs: users * 5,
  };
}

export function p0() {
  const seconds = exec.instance.currentTestRunDuration / 1000;
  const answer = post('p0', 'payment', {});
  p0Success.add(answer.status === 202);
  if (seconds < CALM_SECONDS) p0Calm.add(answer.timings.duration);
  else if (seconds < CALM_SECONDS + SALE_SECONDS) p0Sale.add(answer.timings.duration);
}

export function p1() {
  post('p1', 'browse', {});
}

// Bulk says its type in the head: a shut tier is then refused before its body is read.
export function p2() {
  post('p2', 'analytics', { 'Tidegate-Type': 'analytics' });
}

function post(tier, type, headers) {
  const body = JSON.stringify({ type, order: exec.scenario.iterationInTest, note: 'x'.repeat(180) });
  const answer = http.post(`${INGEST}/v1/jobs`, body, {
    headers: { 'Content-Type': 'application/json', ...headers },
    responseCallback: http.expectedStatuses(202, 429),
  });
  offered[tier].add(1);
  if (answer.status === 202) {
    admitted[tier].add(1);
  } else if (answer.status === 429) {
    refused(tier, answer);
  } else {
    reject(`${tier}: ${answer.status} ${answer.error} ${answer.body}`);
  }
  return answer;
}

function refused(tier, answer) {
  retryAfterGiven.add(/^[1-9][0-9]*$/.test(answer.headers['Retry-After'] || ''));
  const code = (answer.body.match(/"code":\s*"(\w+)"/) || [])[1];
  ({ throttled, shed }[code] || refusedOtherwise)[tier].add(1);
}

function reject(why) {
  unexpected.add(1);
  console.error(`unexpected answer: ${why}`);
}

export function drain() {
  const { drained: jobs, fault } = drainOnce(INGEST, JOBS_PER_LEASE);
  if (fault) return reject(fault);
  drained.add(jobs);
}

// Reads what the gateway says of itself, ten times a second.
export function watch() {
  const metrics = http.get(`${ADMIN}/metrics`);
  for (const tier of TIERS) {
    const now = sample(metrics.body, 'tidegate_queue_depth', tier);
    const target = sample(metrics.body, 'tidegate_target_depth', tier);
    if (!(now >= 0 && target > 0)) return reject(`/metrics: ${metrics.status}, depth ${now} and target ${target} of ${tier}`);
    depth[tier].add(now);
    depthOverTarget[tier].add(now / target);
  }
}

function sample(metrics, name, tier) {
  const line = new RegExp(`^${name}\\{[^}]*tier="${tier}"[^}]*\\} (\\S+)`, 'm');
  return Number((String(metrics).match(line) || [])[1]);
}

export function handleSummary(data) {
  const value = (name, stat) => data.metrics[name]?.values[stat] ?? 0;
  const row = (cells) => cells.map((cell, i) => String(cell).padStart(i ? 12 : 4)).join('') + '\n';
  const total = CALM_SECONDS + SALE_SECONDS + AFTER_SECONDS;

  let text = row(['', 'offered', 'admitted', 'throttled', 'shed', 'otherwise', 'peak depth', '/ target']);
  for (const tier of TIERS) {
    const counts = ['offered', 'admitted', 'throttled', 'shed', 'refused_otherwise'];
    text += row([
      tier.toUpperCase(),
      ...counts.map((name) => value(`${tier}_${name}`, 'count')),
      value(`${tier}_depth`, 'max'),
      value(`${tier}_depth_over_target`, 'max').toFixed(2),
    ]);
  }
  const [calm, rush] = [value('p0_duration_calm', 'p(99)'), value('p0_duration_sale', 'p(99)')];
  text += `\nP0 p99      ${calm.toFixed(2)} ms before the sale, ${rush.toFixed(2)} ms in it`;
  text += `\nP0 success  ${(100 * value('p0_success', 'rate')).toFixed(3)} %`;
  text += `\ndrained     ${value('drained', 'count')} jobs, ${(value('drained', 'count') / total).toFixed(1)} a second`;
  text += `\nnot sent    ${value('dropped_iterations', 'count')} (k6 had no virtual user free)\n`;
  for (const [name, metric] of Object.entries(data.metrics)) {
    for (const [rule, outcome] of Object.entries(metric.thresholds || {})) {
      text += `${outcome.ok ? 'held  ' : 'BROKEN'}      ${name}: ${rule}\n`;
    }
  }
  return { stdout: text };
}
