// What the front end knows of the rest: one interface with two implementations, and the types of what goes over it. That these
// are those of the Rust side is checked in both directions: contract.ts is written by a test there and type-checked here.

export type Verb = 'start' | 'stop' | 'restart' | 'pause' | 'resume' | 'suspend' | 'kill' | 'resize' | 'remove';

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
  | { verb: 'create' | 'resize'; name: string; cpus: number | null; memory_mib: number | null; disk_mib: number | null }
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
  | { of: 'containers' | 'ports' | 'images' | 'volumes' | 'networks' | 'folders'; machine: string }
  | { of: 'machine_log'; machine: string; kind: LogKind }
  | { of: 'container_log'; machine: string; id: string }
  | { of: 'figures'; machine: string; id: string }
  | { of: 'pull'; machine: string; image: string };

/** One name of an image, or an image that has none. */
export interface Image {
  id: string;
  reference: string | null;
  size_bytes: number;
  /** Seconds since 1970. */
  created: number;
  used_by: string[];
}

export interface Volume {
  name: string;
  driver: string;
  created: string | null;
  project: string | null;
  anonymous: boolean;
  used_by: string[];
}

export interface Network {
  name: string;
  driver: string;
  subnets: string[];
  internal: boolean;
  built_in: boolean;
  members: { container: string; address: string | null }[];
}

/** A folder of this computer that a machine sees; named by where it sees it. */
export interface FolderRow {
  folder: string;
  guest: string;
  read_only: boolean;
  events: boolean;
  state: { is: 'mounting' | 'mounted' } | { is: 'waiting'; reason: string } | null;
  carrier: string | null;
}

/** A folder that the user chose in the system's dialog, and the command lines that are equal to sharing it. */
export interface ChosenFolder {
  folder: string;
  line: string;
  read_only_line: string;
  /** What is worth a thought before it is shared. */
  warnings: string[];
}

/** What a container uses now, and has moved since it started. */
export interface Figures {
  /** Of one CPU. */
  cpu_permille: number;
  memory_bytes: number;
  memory_limit_bytes: number;
  network_in_bytes: number;
  network_out_bytes: number;
  disk_read_bytes: number;
  disk_write_bytes: number;
  processes: number;
}

export interface Layer {
  id: string;
  status: string;
  done: number | null;
  total: number | null;
}

export type RestartPolicy = 'no' | 'on-failure' | 'unless-stopped' | 'always';

export interface NewContainer {
  image: string;
  name: string | null;
  ports: { port: number; container_port: number; protocol: 'tcp' | 'udp' }[];
  volumes: { volume: string; target: string }[];
  environment: { name: string; value: string }[];
  restart: RestartPolicy;
}

/** One thing done to the engine of a machine. */
export type EngineAction = { machine: string } & (
  | { verb: 'pull'; image: string }
  | { verb: 'tag'; image: string; name: string }
  | { verb: 'remove_image'; name: string }
  | { verb: 'remove_unnamed_image'; image: string }
  | { verb: 'prune_images'; all: boolean }
  | { verb: 'remove_volumes'; names: string[] }
  | { verb: 'create_network'; name: string; internal: boolean }
  | { verb: 'remove_network'; name: string }
  | { verb: 'run'; new: NewContainer }
);

export type EngineQuestion = { machine: string } & (
  | { of: 'container' | 'processes'; id: string }
  | { of: 'history'; image: string }
  | { of: 'unused_images'; all: boolean }
  | { of: 'volume_sizes' }
);

export type EngineAnswer =
  | { kind: 'container'; inspected: Json }
  | { kind: 'processes'; titles: string[]; rows: string[][] }
  | { kind: 'history'; steps: { made_by: string; size_bytes: number; created: number }[] }
  | { kind: 'unused'; names: string[]; at_most_bytes: number }
  | { kind: 'volume_sizes'; sizes: Record<string, number> };

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** An answer, and the command line that shows the same. */
export interface Answered {
  line: string;
  answer: EngineAnswer;
}

export interface TerminalRequest {
  machine: string;
  id: string;
  columns: number;
  rows: number;
}

export type Typed = { did: 'text'; text: string } | { did: 'size'; columns: number; rows: number };

export interface Terminal {
  did(typed: Typed): void;
  close(): void;
}

/** What the user has chosen for the window. */
export interface Settings {
  theme: 'system' | 'light' | 'dark';
  language: 'system' | 'english' | 'french';
  /** Of new machines; what is not said is as `machine create` chooses. */
  cpus: number | null;
  memory_mib: number | null;
  disk_mib: number | null;
}

export type Told =
  | { kind: 'containers'; docker: string; containers: Container[] }
  | { kind: 'ports'; ports: PortRow[] }
  | { kind: 'lines'; lines: string[] }
  | { kind: 'images'; images: Image[] }
  | { kind: 'volumes'; volumes: Volume[] }
  | { kind: 'networks'; networks: Network[] }
  | { kind: 'folders'; folders: FolderRow[]; warnings: string[] }
  | { kind: 'figures'; figures: Figures | null }
  | { kind: 'pull'; status: string; layers: Layer[] }
  | { kind: 'output'; text: string }
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
  /** Does something to an engine; tells how many bytes that freed, where that is known. */
  changeEngine(action: EngineAction): Promise<number | null>;
  engineLine(action: EngineAction): Promise<string>;
  askEngine(question: EngineQuestion): Promise<Answered>;
  openTerminal(request: TerminalRequest, told: (told: Told) => void, failed: (failure: Failure) => void): Terminal;
  /** Opens the system's dialog; none when it was left without a choice. */
  chooseFolder(machine: string): Promise<ChosenFolder | null>;
  /** Lets the machine see the folder that was chosen last. */
  shareChosen(machine: string, readOnly: boolean): Promise<void>;
  unshare(machine: string, guest: string): Promise<void>;
  unshareLine(machine: string, guest: string): Promise<string>;
  settings(): Promise<Settings>;
  keepSettings(settings: Settings): Promise<void>;
  /** Opens the page at a port of this computer that a container of the machine publishes. */
  openPort(machine: string, port: number): Promise<void>;
  quit(): Promise<void>;
}

/** Why words were refused: Tauri names the command and the argument that it could not read; a person needs only the reason. */
export function reason(thrown: unknown): string {
  return asFailure(thrown).message.replace(/^invalid args `\w+` for command `\w+`: /, '');
}

/** Whatever was thrown, as something to show. */
export function asFailure(thrown: unknown): Failure {
  if (thrown && typeof thrown === 'object' && 'message' in thrown && 'hints' in thrown) return thrown as Failure;
  return { message: thrown instanceof Error ? thrown.message : String(thrown), hints: [], cancelled: false };
}
