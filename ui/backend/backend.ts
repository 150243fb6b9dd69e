// What the front end knows of the rest: one interface with two implementations, and the types of what goes over it. That these
// are those of the Rust side is checked in both directions: contract.ts is written by a test there and type-checked here.

export type Verb = 'start' | 'stop' | 'restart' | 'pause' | 'resume' | 'suspend' | 'kill' | 'remove';

/** One machine, as `machine ls` tells of it, with what can be done to it. */
export interface Card {
  name: string;
  active: boolean;
  driver: string | null;
  state: string;
  url: string | null;
  docker_version: string | null;
  /** 0 when unknown, as the two sizes (MiB). */
  cpus: number;
  memory_mib: number;
  disk_mib: number;
  error: string | null;
  warnings: string[];
  can: Verb[];
  unreadable: boolean;
  env_line: string | null;
  usage: Share | null;
}

/** What a machine uses of this computer. */
export interface Share {
  cpu_percent: number | null;
  memory_mib: number | null;
  disk_mib: number;
}

export type Action =
  | { verb: 'create'; name: string; cpus: number | null; memory_mib: number | null; disk_mib: number | null }
  | { verb: 'start' | 'stop' | 'restart' | 'pause' | 'resume' | 'suspend' | 'kill'; name: string }
  | { verb: 'remove'; name: string; force: boolean };

export type WorkEvent = { machine: string | null; elapsed_ms: number } & (
  | { kind: 'stage'; id: string; title: string }
  | { kind: 'progress'; done: number; total: number | null; unit: string }
  | { kind: 'message'; level: 'detail' | 'info' | 'warning'; text: string }
  | { kind: 'checkpoint'; name: string }
);

export interface Failure {
  message: string;
  hints: string[];
  cancelled: boolean;
}

export type News =
  | { kind: 'machines'; machines: Card[] }
  | { kind: 'trouble'; failure: Failure }
  | { kind: 'closing'; working: string[] };

export interface Check {
  id: string;
  title: string;
  outcome: 'ok' | 'warning' | 'failed';
  detail: string;
  hints: string[];
  /** The running machine that it is about; not there when it is about this computer. */
  machine?: string;
}

export interface Range {
  least: number;
  most: number;
  usual: number;
}

export interface SizeBounds {
  cpus: Range;
  memory_mib: Range;
  disk_mib: Range;
}

export type ContainerVerb = 'start' | 'stop' | 'restart' | 'pause' | 'unpause' | 'rm';

export interface Container {
  id: string;
  name: string;
  image: string;
  state: string;
  status: string;
  project: string | null;
  ports: string[];
  can: ContainerVerb[];
}

export interface ContainerAction {
  machine: string;
  id: string;
  verb: ContainerVerb;
}

/** A port of this computer that leads to a container's. */
export interface PortRow {
  protocol: 'tcp' | 'udp';
  port: number;
  container: string;
  container_port: number;
  state:
    | { state: 'open'; addresses: string[] }
    | { state: 'opening' }
    | { state: 'taken'; address: string; holder: string | null }
    | { state: 'refused'; reason: string };
}

export type LogKind = 'serial' | 'supervisor' | 'qemu' | 'events';

export type Source =
  | { of: 'containers' | 'ports'; machine: string }
  | { of: 'machine_log'; machine: string; kind: LogKind }
  | { of: 'container_log'; machine: string; id: string };

export type Told =
  | { kind: 'containers'; docker: string; containers: Container[] }
  | { kind: 'ports'; ports: PortRow[] }
  | { kind: 'lines'; lines: string[] }
  | { kind: 'waiting'; reason: string }
  | { kind: 'end' };

/** Every call that fails rejects with a `Failure`, or with a string when the call itself was refused. */
export interface Backend {
  watch(told: (news: News) => void): Promise<void>;
  perform(action: Action, happened: (event: WorkEvent) => void): Promise<string>;
  cancel(name: string): Promise<void>;
  commandLine(action: Action): Promise<string>;
  sizeBounds(): Promise<SizeBounds>;
  doctor(): Promise<Check[]>;
  changeContainer(action: ContainerAction): Promise<void>;
  /** Tells of `source` until it is left; `failed` when it cannot be followed any longer. */
  follow(source: Source, told: (told: Told) => void, failed: (failure: Failure) => void): () => void;
  /** Opens the page at a port of this computer that a container of the machine publishes. */
  openPort(machine: string, port: number): Promise<void>;
  quit(): Promise<void>;
}

/** Whatever was thrown, as something to show. */
export function asFailure(thrown: unknown): Failure {
  if (thrown && typeof thrown === 'object' && 'message' in thrown && 'hints' in thrown) return thrown as Failure;
  return { message: thrown instanceof Error ? thrown.message : String(thrown), hints: [], cancelled: false };
}
