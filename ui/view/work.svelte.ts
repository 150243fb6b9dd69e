// What is being done to machines, and how it went: shown in a row, and in the dialog of a creation.

import { asFailure, type Action, type Backend, type Failure, type WorkEvent } from '../backend/backend.ts';
import { words } from '../words/words.ts';

/** Lines of a log that are kept: the last ones tell most. */
const KEPT_LINES = 500;

/** How long what was done is said, milliseconds. */
const SAID_FOR = 10_000;

export interface Stage {
  title: string;
  /** Milliseconds since the work began. */
  begun: number;
  ended: number | null;
}

/** One action on its way. */
export class Work {
  readonly action: Action;
  readonly started = performance.now();
  line = $state('');
  stages = $state<Stage[]>([]);
  log = $state<string[]>([]);
  warnings = $state<string[]>([]);
  /** Of the present stage. */
  progress = $state<{ done: number; total: number | null; unit: string } | null>(null);
  said = $state<string | null>(null);
  failure = $state<Failure | null>(null);
  ended = $derived(this.said !== null || this.failure !== null);

  constructor(action: Action) {
    this.action = action;
  }

  hear(event: WorkEvent) {
    switch (event.kind) {
      case 'stage':
        this.#endStage(event.elapsed_ms);
        this.stages.push({ title: words.stages[event.id] ?? event.title, begun: event.elapsed_ms, ended: null });
        this.progress = null;
        break;
      case 'progress':
        this.progress = { done: event.done, total: event.total, unit: event.unit };
        break;
      case 'message':
        if (event.level === 'warning' && !this.warnings.includes(event.text)) this.warnings.push(event.text);
        this.log.push(event.text);
        if (this.log.length > KEPT_LINES) this.log.splice(0, this.log.length - KEPT_LINES);
        break;
      case 'checkpoint':
        break;
    }
  }

  end(outcome: { said: string } | { failure: Failure }) {
    this.#endStage(performance.now() - this.started);
    this.progress = null;
    if ('said' in outcome) this.said = outcome.said;
    else this.failure = outcome.failure;
  }

  #endStage(at: number) {
    const last = this.stages.at(-1);
    if (last && last.ended === null) last.ended = at;
  }
}

/** The latest work on each machine. */
export class Works {
  readonly #backend: Backend;
  #silence: ReturnType<typeof setTimeout> | undefined;
  of = $state<Record<string, Work>>({});
  /** What was done last, for the line at the bottom. */
  said = $state<string | null>(null);
  /** Some of it has not ended. */
  working = $derived(Object.values(this.of).some((work) => !work.ended));

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  /** Begins `action`; the outcome is in the work. */
  begin(action: Action): Work {
    const work = new Work(action);
    this.of[action.name] = work;
    // As it is kept: Svelte follows changes of what it wrapped.
    const kept = this.of[action.name]!;
    this.said = null;
    void this.#run(action, kept);
    return kept;
  }

  async #run(action: Action, work: Work) {
    this.#backend.commandLine(action).then((line) => (work.line = line), () => {});
    try {
      const said = await this.#backend.perform(action, (event) => work.hear(event));
      work.end({ said });
      this.#say(said);
      // Done is done: the row itself shows what is true now. Warnings stay until they are dismissed.
      if (this.of[action.name] === work && work.warnings.length === 0) delete this.of[action.name];
    } catch (thrown) {
      work.end({ failure: asFailure(thrown) });
    }
  }

  #say(said: string) {
    this.said = said;
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => (this.said = null), SAID_FOR);
  }

  cancel(name: string) {
    void this.#backend.cancel(name);
  }

  dismiss(name: string) {
    delete this.of[name];
  }
}
