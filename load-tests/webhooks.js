// GitHub's example deliveries at a steady rate, one in twenty of them redelivered, while workers drain what comes.
//
// `make load-test SCENARIO=webhooks` starts a gateway with policies/webhooks.yaml and runs this; against one of yours:
//   k6 run -e INGEST=127.0.0.1:8080 -e RATE=300 -e SECONDS=30 load-tests/webhooks.js
// PAYLOADS is the index.json of the npm package @octokit/webhooks-examples; `make test-clients` installs it.

import http from 'k6/http';
import exec from 'k6/execution';
import { SharedArray } from 'k6/data';
import { Counter, Rate, Trend } from 'k6/metrics';

import { drainOnce } from './workers.js';

const INGEST = `http://${__ENV.INGEST || '127.0.0.1:8080'}`;
const RATE = Number(__ENV.RATE || 300);
const SECONDS = Number(__ENV.SECONDS || 30);
const PAYLOADS =
  __ENV.PAYLOADS || '../.tools/clients/node_modules/@octokit/webhooks-examples/api.github.com/index.json';

const TIERS = { push: 'p0', workflow_job: 'p0', deployment: 'p0', star: 'p2', watch: 'p2', fork: 'p2', ping: 'p2' };
const ONE_IN = 20;

const deliveries = new SharedArray('deliveries', () =>
  JSON.parse(open(PAYLOADS)).flatMap(({ name, examples }) =>
    examples.map((example) => ({ event: name, body: JSON.stringify(example) })),
  ),
);

const rightTier = new Rate('right_tier');
const storedOnce = new Rate('redelivered_is_duplicate');
const refused = new Counter('refused');
const drained = new Counter('drained');
const accepted = new Trend('accepted_duration', true);
const unexpected = new Counter('unexpected_answers');

export const options = {
  scenarios: {
    deliver: steady('deliver', RATE, 20),
    drain: steady('drain', 20, 4),
  },
  thresholds: {
    right_tier: ['rate==1'],
    redelivered_is_duplicate: ['rate==1'],
    unexpected_answers: ['count==0'],
    drained: ['count>0'],
  },
  summaryTrendStats: ['med', 'p(99)', 'max'],
};

function steady(what, perSecond, users) {
  return {
    executor: 'constant-arrival-rate',
    exec: what,
    rate: perSecond,
    duration: `${SECONDS}s`,
    preAllocatedVUs: users,
    maxVUs: users * 10,
  };
}

export function deliver() {
  const number = exec.scenario.iterationInTest;
  const { event, body } = deliveries[number % deliveries.length];
  const guid = `72d3162e-cc78-11e3-81ab-${String(number).padStart(12, '0')}`;
  const first = post(event, guid, body);
  if (first === null) return;
  rightTier.add(first.tier === (TIERS[event] || 'p1'));
  if (number % ONE_IN) return;
  const again = post(event, guid, body);
  if (again !== null) storedOnce.add(again.duplicate && again.id === first.id);
}

// The receipt, or null where the gate said no.
function post(event, guid, body) {
  const answer = http.post(`${INGEST}/v1/jobs`, body, {
    headers: { 'Content-Type': 'application/json', 'X-GitHub-Event': event, 'X-GitHub-Delivery': guid },
    responseCallback: http.expectedStatuses(202, 429),
  });
  if (answer.status === 202) {
    accepted.add(answer.timings.duration);
    return answer.json();
  }
  if (answer.status === 429) refused.add(1);
  else reject(`${answer.status} ${answer.error} ${answer.body}`);
  return null;
}

export function drain() {
  const { drained: jobs, fault } = drainOnce(INGEST, 100);
  if (fault) return reject(fault);
  drained.add(jobs);
}

function reject(why) {
  unexpected.add(1);
  console.error(`unexpected answer: ${why}`);
}

export function handleSummary(data) {
  const value = (name, stat) => data.metrics[name]?.values[stat] ?? 0;
  let text = `deliveries  ${value('right_tier', 'passes') + value('right_tier', 'fails')} accepted`;
  text += `, ${value('refused', 'count')} refused, ${value('drained', 'count')} drained\n`;
  text += `redelivered ${value('redelivered_is_duplicate', 'passes')} answered with their first receipt\n`;
  text += `accepted in ${value('accepted_duration', 'med').toFixed(2)} ms (median), `;
  text += `${value('accepted_duration', 'p(99)').toFixed(2)} ms (p99)\n`;
  for (const [name, metric] of Object.entries(data.metrics)) {
    for (const [rule, outcome] of Object.entries(metric.thresholds || {})) {
      text += `${outcome.ok ? 'held  ' : 'BROKEN'}      ${name}: ${rule}\n`;
    }
  }
  return { stdout: text };
}
