/**
 * The faults of workers and services, and their timers. `frozen` and `worker-crash` are not here: a process that is stopped or killed
 * cannot switch itself, so the supervisor does that.
 */
import { Avalanche } from './avalanche.js';
import { BigJson } from './big-json.js';
import { BlockingCrypto } from './blocking-crypto.js';
import { BrokerBacklog } from './broker-backlog.js';
import { Churn } from './churn.js';
import { ColdCache } from './cold-cache.js';
import { ConnectPerRequest } from './connect-per-request.js';
import { Deoptimised } from './deoptimised.js';
import { FdExhausted } from './fd-exhausted.js';
import { Leak } from './leak.js';
import { MissingIndex } from './missing-index.js';
import { OffloadSaturated } from './offload-saturated.js';
import { Penetration } from './penetration.js';
import { PoolLeak } from './pool-leak.js';
import { PoolTooLarge } from './pool-too-large.js';
import { PoolTooSmall } from './pool-too-small.js';
import { PrototypePollution } from './prototype-pollution.js';
import { QueryFanOut } from './query-fan-out.js';
import { RegexBacktracking } from './regex-backtracking.js';
import { RetryStorm } from './retry-storm.js';
import { SerialQueries } from './serial-queries.js';
import { SlowConsumer } from './slow-consumer.js';
import { SlowDownstream } from './slow-downstream.js';
import { Stampede } from './stampede.js';
import { StarvedPoll } from './starved-poll.js';
import { StopTheWorld } from './stop-the-world.js';
import { TooSmallCache } from './too-small-cache.js';
import { UnevenWorkers } from './uneven-workers.js';
import { WholeFile } from './whole-file.js';

/** Those of the shop, by the name under which routes find them. */
export const OF_SHOP = {
  avalanche: Avalanche,
  bigJson: BigJson,
  blockingCrypto: BlockingCrypto,
  churn: Churn,
  coldCache: ColdCache,
  connectPerRequest: ConnectPerRequest,
  deoptimised: Deoptimised,
  fdExhausted: FdExhausted,
  leak: Leak,
  missingIndex: MissingIndex,
  offloadSaturated: OffloadSaturated,
  penetration: Penetration,
  poolLeak: PoolLeak,
  poolTooLarge: PoolTooLarge,
  poolTooSmall: PoolTooSmall,
  prototypePollution: PrototypePollution,
  queryFanOut: QueryFanOut,
  regexBacktracking: RegexBacktracking,
  retryStorm: RetryStorm,
  serialQueries: SerialQueries,
  slowConsumer: SlowConsumer,
  slowDownstream: SlowDownstream,
  stampede: Stampede,
  starvedPoll: StarvedPoll,
  stopTheWorld: StopTheWorld,
  tooSmallCache: TooSmallCache,
  unevenWorkers: UnevenWorkers,
  wholeFile: WholeFile,
};

/** Those of the services. */
export const OF_SERVICES = { brokerBacklog: BrokerBacklog };

/** All of them, for whoever checks orders. */
export const SWITCHED = [...Object.values(OF_SHOP), ...Object.values(OF_SERVICES)];

/** The faults of one process, each as a field: `faults.leak`. */
export class Faults {
  #fields;
  #timers = new Map();

  /**
   * @param {Record<string, typeof import('./fault.js').Fault>} kinds
   * @param {(fault: string, what: string, at: number) => void} tell
   */
  constructor(kinds, tell) {
    this.#fields = Object.keys(kinds);
    for (const [field, Kind] of Object.entries(kinds)) this[field] = new Kind(tell);
  }

  /**
   * Switches a fault on, if it is one of this process; it ends by itself.
   * @param {import('./fault.js').Order} order
   */
  arm(order, shop) {
    const fault = this.#find(order.name);
    if (!fault) return;
    const number = fault.arm(order, shop);
    clearTimeout(this.#timers.get(fault));
    this.#timers.set(fault, setTimeout(() => fault.end(number, shop), order.for_ms));
  }

  /** Has the cure of a fault run from now on, whatever is ordered, if it is one of this process. */
  cure(kind, shop) {
    this.#find(kind)?.holdCure(shop);
  }

  /** Puts right what this process's forerunner may have left behind, but for what is ordered now. */
  settleAll(shop) {
    for (const fault of this.#all()) if (!fault.on) fault.settle(shop);
  }

  endAll(shop) {
    for (const fault of this.#all()) {
      clearTimeout(this.#timers.get(fault));
      fault.end(undefined, shop);
    }
  }

  #find(kind) {
    return this.#all().find((f) => f.constructor.kind === kind);
  }

  #all() {
    return this.#fields.map((field) => this[field]);
  }
}
