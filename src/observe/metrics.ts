import { type Metric, Registry } from 'prom-client';
import type { Clock } from '../io/clock.ts';
import { Counter, Family, Gauge, Histogram } from './metric-cells.ts';

type Series = { value: number; labels: Record<string, string>; metricName?: string };

/** Series of many things of one kind, such as timelines, that are read when the metrics are asked for. */
export interface SeriesOfMany<Thing> {
  /** The things that there are now. They may go while their series are written. */
  readonly things: () => Iterable<Thing>;
  /** Their labels. The values are written as they are: they must need no escaping, as identifiers do not. */
  readonly labelsOf: (thing: Thing) => string;
  readonly metrics: readonly MetricOfMany<Thing>[];
}

export interface MetricOfMany<Thing> {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly read: (thing: Thing) => number;
}

/** How many lines are written before others get their turn. */
const LINES_AT_ONCE = 1000;

/**
 * The metrics of one service. Each service has its own, since several may live in one process. Counting is done in
 * plain cells; this reads them when somebody asks.
 */
export class Metrics {
  readonly contentType: string;
  readonly #registry = new Registry();
  readonly #names: string[] = [];
  readonly #many: ((parts: string[]) => Promise<void>)[] = [];
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.contentType = this.#registry.contentType;
  }

  counter(name: string, help: string): Counter {
    const counter = new Counter();
    this.#register(name, help, 'counter', () => [{ value: counter.value, labels: {} }]);
    return counter;
  }

  gauge(name: string, help: string): Gauge {
    const gauge = new Gauge();
    this.gaugeFrom(name, help, () => gauge.value);
    return gauge;
  }

  /** A gauge that is found out when it is asked for. */
  gaugeFrom(name: string, help: string, read: () => number): void {
    this.#register(name, help, 'gauge', () => [{ value: read(), labels: {} }]);
  }

  /** A counter that is kept elsewhere. */
  counterFrom(name: string, help: string, read: () => number): void {
    this.#register(name, help, 'counter', () => [{ value: read(), labels: {} }]);
  }

  /** Counters with one label that are kept elsewhere. */
  countersFrom(
    name: string,
    help: string,
    labelName: string,
    read: () => readonly { readonly label: string; readonly value: number }[],
  ): void {
    this.#register(name, help, 'counter', () =>
      read().map(({ label, value }) => ({ value, labels: { [labelName]: label } })),
    );
  }

  histogram(name: string, help: string, bounds: readonly number[]): Histogram {
    const histogram = new Histogram(bounds);
    this.#register(name, help, 'histogram', () => histogramSeries(name, {}, histogram));
    return histogram;
  }

  counters(name: string, help: string, labelNames: readonly string[]): Family<Counter> {
    const family = new Family(labelNames, () => new Counter());
    this.#register(name, help, 'counter', () => cellSeries(family));
    return family;
  }

  gauges(name: string, help: string, labelNames: readonly string[]): Family<Gauge> {
    const family = new Family(labelNames, () => new Gauge());
    this.#register(name, help, 'gauge', () => cellSeries(family));
    return family;
  }

  histograms(
    name: string,
    help: string,
    labelNames: readonly string[],
    bounds: readonly number[],
  ): Family<Histogram> {
    const family = new Family(labelNames, () => new Histogram(bounds));
    this.#register(name, help, 'histogram', () =>
      [...family.entries()].flatMap(({ labels, cell }) => histogramSeries(name, labels, cell)),
    );
    return family;
  }

  /** Adds series of things that come and go: nothing is kept for them between two askings. */
  ofMany<Thing>(series: SeriesOfMany<Thing>): void {
    this.#many.push((parts) => this.#exposeMany(series, parts));
  }

  /** All metrics in Prometheus' text format. Lets others run in between. */
  async expose(): Promise<string> {
    const parts: string[] = [];
    for (const name of this.#names) parts.push(`${await this.#registry.getSingleMetricAsString(name)}\n`);
    for (const expose of this.#many) await expose(parts);
    return parts.join('');
  }

  async #exposeMany<Thing>(series: SeriesOfMany<Thing>, parts: string[]): Promise<void> {
    const things = [...series.things()];
    for (const { name, help, type, read } of series.metrics) {
      parts.push(`# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`);
      for (let index = 0; index < things.length; index++) {
        const thing = things[index] as Thing;
        parts.push(`${name}{${series.labelsOf(thing)}} ${read(thing)}\n`);
        if (index % LINES_AT_ONCE === LINES_AT_ONCE - 1) await this.#clock.yieldToOthers();
      }
    }
  }

  #register(name: string, help: string, type: MetricKind, read: () => Series[]): void {
    const metric = new ReadMetric(name, help, type, read);
    // The registry asks a metric for its name and for get(), and nothing else of what prom-client's own have.
    this.#registry.registerMetric(metric as unknown as Metric);
    this.#names.push(name);
  }
}

type MetricKind = 'counter' | 'gauge' | 'histogram';

/** A metric, as prom-client's registry takes one, that is read from somewhere else. */
class ReadMetric {
  readonly name: string;
  readonly help: string;
  readonly #kind: MetricKind;
  readonly #read: () => Series[];

  constructor(name: string, help: string, kind: MetricKind, read: () => Series[]) {
    this.name = name;
    this.help = help;
    this.#kind = kind;
    this.#read = read;
  }

  async get(): Promise<object> {
    return { name: this.name, help: this.help, type: this.#kind, aggregator: 'sum', values: this.#read() };
  }
}

function cellSeries(family: Family<Counter> | Family<Gauge>): Series[] {
  return [...family.entries()].map(({ labels, cell }) => ({ value: cell.value, labels }));
}

function histogramSeries(name: string, labels: Record<string, string>, histogram: Histogram): Series[] {
  const series: Series[] = [];
  let atMost = 0;
  for (const [index, bound] of [...histogram.bounds, Number.POSITIVE_INFINITY].entries()) {
    atMost += histogram.counts[index] as number;
    const le = bound === Number.POSITIVE_INFINITY ? '+Inf' : String(bound);
    series.push({ metricName: `${name}_bucket`, labels: { ...labels, le }, value: atMost });
  }
  series.push({ metricName: `${name}_sum`, labels, value: histogram.sum });
  series.push({ metricName: `${name}_count`, labels, value: histogram.count });
  return series;
}
