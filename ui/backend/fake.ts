// Machines that are played, for a browser: the tests of the front end run on them, and so does whoever works on how it looks.
// `?scene=` chooses what is there (none, some, trouble, many); `&pace=` how long each stage takes, in milliseconds.
import { PlayedEngine } from './fake-engine.ts';
import type { Action, Backend, Card, Container, ContainerVerb, Failure, FolderRow, News, PortRow, Settings, Told, Verb, WorkEvent } from './backend.ts';

const GIB = 1024;

function card(name: string, state: string, more: Partial<Card> = {}): Card {
  const made: Card = {
    name,
    active: false,
    driver: 'qemu',
    state,
    url: null,
    docker_version: null,
    cpus: 2,
    memory_mib: 2 * GIB,
    disk_mib: 20 * GIB,
    error: null,
    warnings: [],
    can: [],
    unreadable: false,
    env_line: null,
    usage: null,
    ...more,
  };
  return settle(made);
}

/** What follows from the state. */
function settle(card: Card): Card {
  const running = card.state === 'Running';
  const can: Record<string, Verb[]> = {
    Running: ['stop', 'restart', 'pause', 'suspend', 'kill', 'remove'],
    Paused: ['resume', 'restart', 'kill', 'remove'],
    Stopped: ['start', 'resize', 'remove'],
    Starting: ['kill'],
    Stopping: ['kill'],
  };
  card.can = card.unreadable ? ['remove'] : (can[card.state] ?? ['start', 'remove']);
  card.env_line = running ? `eval "$(machine env ${card.name})"` : null;
  card.url = running ? (card.url ?? 'tcp://127.0.0.1:42376') : null;
  card.usage = card.unreadable ? null : { cpu_percent: running ? 12 : null, memory_mib: running ? 608 : null, disk_mib: 1344 };
  card.docker_version = running ? (card.docker_version ?? 'v26.1.5') : null;
  return card;
}

function scene(name: string): Card[] {
  switch (name) {
    case 'some':
      return [
        card('build', 'Stopped', { cpus: 8, memory_mib: 16 * GIB, disk_mib: 120 * GIB }),
        card('dev', 'Running', { cpus: 4, memory_mib: 4 * GIB, active: true }),
        card('shop', 'Running', { url: 'tcp://127.0.0.1:40113', warnings: ['slow mode: KVM does not work here, so QEMU emulates the CPU; 5 to 20 times slower'] }),
        card('torn', 'Error', { driver: null, unreadable: true, cpus: 0, memory_mib: 0, disk_mib: 0, error: 'machine "torn": machine.json: the record is broken: EOF while parsing a value at line 1 column 0' }),
        card('workshop-7', 'Error', { error: 'the guest\'s kernel panicked: Attempted to kill init! (last lines of its console: "EXT4-fs error (device vdb)")' }),
      ];
    case 'many':
      return Array.from({ length: 60 }, (_, at) => card(`seat-${at + 1}`, at % 3 === 0 ? 'Stopped' : 'Running'));
    default:
      return [];
  }
}

function container(at: number, state: string, project: string | null, name: string, image: string, ports: string[] = []): Container {
  return settleContainer({ id: at.toString(16).padStart(64, '0'), name, image, state, status: '', project, ports, can: [] });
}

/** What follows from the state. */
function settleContainer(container: Container): Container {
  const can: Record<string, ContainerVerb[]> = { running: ['stop', 'restart', 'pause', 'rm'], paused: ['unpause', 'stop', 'rm'] };
  const status: Record<string, string> = { running: 'Up 3 minutes', paused: 'Up 3 minutes (Paused)' };
  container.can = can[container.state] ?? ['start', 'rm'];
  container.status = status[container.state] ?? 'Exited (0) 2 minutes ago';
  return container;
}

function playedContainers(count: number): Container[] {
  if (count > 0) {
    return Array.from({ length: count }, (_, at) => container(at, at % 5 === 4 ? 'exited' : 'running', `project-${Math.floor(at / 10)}`, `task-${at}`, 'busybox:1.37'));
  }
  return [
    container(1, 'running', null, 'registry', 'registry:2', ['5000:5000/tcp']),
    container(2, 'running', 'shop', 'shop-db-1', 'postgres:17', ['5432/tcp']),
    container(3, 'exited', 'shop', 'shop-migrate-1', 'shop/migrate:latest'),
    container(4, 'running', 'shop', 'shop-web-1', 'shop/web:latest', ['8080:80/tcp', '8443:443/tcp']),
    container(5, 'paused', 'shop', 'shop-worker-1', 'shop/worker:latest'),
  ];
}

const refuse = (message: string, ...hints: string[]): Failure => ({ message, hints, cancelled: false });

function checkName(name: string) {
  if (!/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(name)) {
    throw `invalid args \`action\` for command \`command_line\`: invalid machine name ${JSON.stringify(name)}: ${name ? 'it must begin and end with a letter or digit' : 'it is empty'}`;
  }
}

function words(action: Action): string[] {
  const size = (mib: number) => (mib % GIB === 0 ? `${mib / GIB}g` : `${mib}m`);
  switch (action.verb) {
    case 'create':
    case 'resize':
      return [
        action.verb === 'create' ? 'create' : 'set',
        ...(action.cpus ? ['--cpus', String(action.cpus)] : []),
        ...(action.memory_mib ? ['--memory', size(action.memory_mib)] : []),
        ...(action.disk_mib ? ['--disk', size(action.disk_mib)] : []),
      ];
    case 'remove':
      return ['rm', action.force ? '-f' : '-y'];
    default:
      return [action.verb];
  }
}

const STAGES: Record<Action['verb'], [string, string][]> = {
  create: [
    ['check', 'Running pre-create checks'],
    ['identity', 'Making keys and certificates'],
    ['disks', 'Making disks'],
    ['start', 'Starting the machine'],
    ['boot', 'Booting'],
    ['engine', 'Waiting for Docker Engine'],
  ],
  start: [['start', 'Starting the machine'], ['boot', 'Booting'], ['engine', 'Waiting for Docker Engine']],
  stop: [['stop', 'Stopping']],
  restart: [['stop', 'Stopping'], ['start', 'Starting the machine'], ['boot', 'Booting']],
  pause: [['pause', 'Halting']],
  resume: [['resume', 'Going on']],
  suspend: [['suspend', 'Saving its memory']],
  kill: [['kill', 'Killing']],
  resize: [['resize', 'Growing its disk']],
  remove: [['remove', 'Removing']],
};

const DONE: Record<Action['verb'], string> = {
  create: 'is ready: Docker Engine 26.1.5 answers at 127.0.0.1:42376.',
  start: 'was started.',
  stop: 'was stopped.',
  restart: 'was restarted.',
  pause: 'was paused.',
  resume: 'was resumed.',
  suspend: 'was suspended.',
  kill: 'was killed.',
  resize: 'has its new size from its next start on.',
  remove: 'was removed.',
};

const AFTER: Partial<Record<Action['verb'], string>> = { stop: 'Stopped', kill: 'Stopped', pause: 'Paused', suspend: 'Saved', resize: 'Stopped' };

const PORTS: PortRow[] = [
  { protocol: 'tcp', port: 5000, container: 'registry', container_port: 5000, state: { state: 'open', addresses: ['127.0.0.1:5000', '[::1]:5000'] } },
  { protocol: 'tcp', port: 8080, container: 'shop-web-1', container_port: 80, state: { state: 'open', addresses: ['127.0.0.1:8080', '[::1]:8080'] } },
  { protocol: 'tcp', port: 8443, container: 'shop-web-1', container_port: 443, state: { state: 'taken', address: '127.0.0.1:8443', holder: 'node (process 4711)' } },
  { protocol: 'udp', port: 8053, container: 'shop-names-1', container_port: 53, state: { state: 'opening' } },
  { protocol: 'tcp', port: 443, container: 'shop-edge-1', container_port: 443, state: { state: 'refused', reason: 'ports below 1024 are kept for root here: `sudo sysctl net.ipv4.ip_unprivileged_port_start=80` opens them' } },
];

export function fakeBackend(): Backend {
  const query = new URLSearchParams(location.search);
  const pace = Number(query.get('pace') ?? 300);
  const chosen = query.get('scene') ?? 'some';
  let machines = scene(chosen);
  let tell: (news: News) => void = () => {};
  let containers = playedContainers(Number(query.get('containers') ?? 0));
  const followers = new Set<() => void>();
  const engine = new PlayedEngine(pace, () => containers, () => {
    for (const follower of followers) follower();
  });
  let folders: FolderRow[] = [
    { folder: '/home/ada/src/shop', guest: '/home/ada/src/shop', read_only: false, events: true, state: { is: 'mounted' }, carrier: 'sftp' },
    { folder: '/home/ada/data', guest: '/data', read_only: true, events: false, state: { is: 'waiting', reason: 'the folder is not there' }, carrier: null },
  ];
  const tellAll = () => {
    for (const follower of followers) follower();
  };
  const cancelled = new Map<string, () => void>();

  const publish = () => {
    machines.sort((one, other) => one.name.localeCompare(other.name, 'en', { numeric: true }));
    tell(structuredClone({ kind: 'machines', machines } satisfies News));
  };
  const become = (name: string, state: string) => {
    const there = machines.find((machine) => machine.name === name);
    if (there) {
      there.state = state;
      there.error = null;
      settle(there);
    }
    publish();
  };

  async function play(action: Action, happened: (event: WorkEvent) => void) {
    const begun = performance.now();
    const say = (kind: object) =>
      happened({ machine: action.name, elapsed_ms: Math.round(performance.now() - begun), ...kind } as WorkEvent);
    for (const [id, title] of STAGES[action.verb]) {
      say({ kind: 'stage', id, title });
      for (let part = 1; part <= 4; part++) {
        await new Promise<void>((go, stop) => {
          setTimeout(go, pace / 4);
          cancelled.set(action.name, () => stop({ message: 'cancelled', hints: [`\`machine rm ${action.name}\` removes what was made`], cancelled: true } satisfies Failure));
        });
        if (id === 'disks') say({ kind: 'progress', done: part * 256 * 2 ** 20, total: 2 ** 30, unit: 'bytes' });
        say({ kind: 'message', level: 'detail', text: `[    ${part}.000000] played line ${part} of ${id}` });
      }
      if (id === 'start') become(action.name, 'Starting');
      if (action.name === 'fails' && id === 'boot') {
        become(action.name, 'Error');
        throw refuse('machine "fails": no engine answered within 300 s', 'see its console: `machine logs --serial fails`', 'what was made is kept: `machine create fails` carries on or begins anew, `machine rm fails` removes it');
      }
    }
  }

  return {
    async watch(told) {
      tell = told;
      if (chosen === 'trouble') tell({ kind: 'trouble', failure: refuse('cannot list the store: permission denied', 'check who owns it') });
      else publish();
      Object.assign(window, { closing: (working: string[]) => tell({ kind: 'closing', working }), look: () => { publish(); tellAll(); } });
    },
    async perform(action, happened) {
      if (action.verb === 'create') {
        checkName(action.name);
        if (machines.some((machine) => machine.name === action.name)) {
          throw refuse(`Docker machine "${action.name}" already exists`, `\`machine start ${action.name}\` starts it`);
        }
        machines.push(card(action.name, 'Starting'));
        publish();
      } else if (action.verb === 'stop' || action.verb === 'restart') become(action.name, 'Stopping');
      await play(action, happened).finally(() => cancelled.delete(action.name));
      const there = machines.find((machine) => machine.name === action.name);
      if (action.verb === 'resize' && there) {
        [there.cpus, there.memory_mib, there.disk_mib] = [action.cpus ?? there.cpus, action.memory_mib ?? there.memory_mib, action.disk_mib ?? there.disk_mib];
      }
      if (action.verb === 'remove') {
        machines = machines.filter((machine) => machine.name !== action.name);
        publish();
      } else become(action.name, AFTER[action.verb] ?? 'Running');
      return `Machine "${action.name}" ${DONE[action.verb]}`;
    },
    async cancel(name) {
      cancelled.get(name)?.();
    },
    async commandLine(action) {
      checkName(action.name);
      return ['machine', ...words(action), action.name].join(' ');
    },
    async sizeBounds() {
      return {
        cpus: { least: 1, most: 8, usual: 4 },
        memory_mib: { least: 256, most: 12 * GIB, usual: 2 * GIB },
        disk_mib: { least: GIB, most: 180 * GIB, usual: 20 * GIB },
      };
    },
    async doctor() {
      return [
        { id: 'qemu.found', title: 'QEMU', outcome: 'ok', detail: '/usr/bin/qemu-system-x86_64', hints: [] },
        { id: 'acceleration.works', title: 'Acceleration', outcome: 'warning', detail: 'kvm does not work: machines run in software emulation, 5 to 20 times slower', hints: ['add yourself to the group kvm: `sudo adduser $USER kvm`'] },
        { id: 'disk.space', title: 'Disk space', outcome: 'ok', detail: '184320 MiB free', hints: [] },
        { id: 'docker.cli', title: 'Docker client', outcome: chosen === 'none' ? 'failed' : 'ok', detail: chosen === 'none' ? 'it was not found' : '/usr/bin/docker', hints: chosen === 'none' ? ['install it: `apt install docker.io`'] : [] },
      ];
    },
    async changeContainer({ id, verb }) {
      await new Promise((go) => setTimeout(go, pace));
      const one = containers.find((container) => container.id === id);
      if (one?.name === 'registry' && verb === 'rm') throw refuse('container 000000000001: the engine answered 409: removal is in progress');
      if (verb === 'rm') containers = containers.filter((container) => container.id !== id);
      else if (one) {
        one.state = { start: 'running', restart: 'running', unpause: 'running', stop: 'exited', pause: 'paused' }[verb];
        settleContainer(one);
      }
      for (const follower of followers) follower();
    },
    changeEngine: (action) => engine.change(action, (name, image, ports) => containers.push(container(containers.length + 1, 'running', null, name, image, ports))),
    engineLine: async (action) => engine.line(action),
    askEngine: (question) => engine.ask(question),
    openTerminal: (request, told, failed) => {
      if (containers.find((one) => one.id === request.id)?.name === 'registry') setTimeout(() => failed(refuse('the engine of machine "dev" answered 400: no /bin/sh in this container')));
      return engine.terminal(told);
    },
    chooseFolder: async (machine) => ({ folder: '/home/ada/notes', line: `machine share add ${machine} /home/ada/notes`, read_only_line: `machine share add ${machine} /home/ada/notes:ro`, warnings: ['/home/ada/notes is shared: any container that mounts it has the folder in which machines are kept, with their keys'] }),
    async shareChosen(_machine, readOnly) {
      await new Promise((go) => setTimeout(go, pace));
      if (folders.some((row) => row.folder === '/home/ada/notes')) throw refuse('/home/ada/notes is shared already');
      folders = [...folders, { folder: '/home/ada/notes', guest: '/home/ada/notes', read_only: readOnly, events: false, state: { is: 'mounted' }, carrier: 'sftp' }];
      tellAll();
    },
    async unshare(_machine, guest) {
      await new Promise((go) => setTimeout(go, pace));
      folders = folders.filter((row) => row.guest !== guest);
      tellAll();
    },
    unshareLine: async (machine, guest) => `machine share rm ${machine} ${guest}`,
    settings: async () => JSON.parse(sessionStorage.getItem('settings') ?? '{"theme":"system","language":"system","cpus":null,"memory_mib":null,"disk_mib":null}') as Settings,
    keepSettings: async (settings) => sessionStorage.setItem('settings', JSON.stringify(settings)),
    follow(source, told, failed) {
      if (source.of === 'figures' || source.of === 'pull') return engine.play(source, (news) => told(structuredClone(news)), failed);
      let left = false;
      let line = 0;
      const say = (news: Told) => left || told(structuredClone(news));
      const stop = machines.find((machine) => machine.name === source.machine)?.state !== 'Running';
      const look = () => {
        if (source.of === 'folders') say({ kind: 'folders', folders, warnings: [] });
        else if (stop) say({ kind: 'waiting', reason: `machine "${source.machine}": Host is not running` });
        else if (source.of === 'ports') say({ kind: 'ports', ports: PORTS });
        else if (engine.told(source.of)) say(engine.told(source.of)!);
        else say({ kind: 'containers', docker: `docker --context ${source.machine}`, containers });
      };
      const more = (count: number) => {
        const lines = Array.from({ length: count }, () => `2026-11-22T10:00:${String(line % 60).padStart(2, '0')}.000Z ${line % 7 === 3 ? 'warning: slow answer' : 'GET /health 200'} #${line++}`);
        say({ kind: 'lines', lines });
      };
      const changing = source.of !== 'machine_log' && source.of !== 'container_log';
      const timer = changing ? undefined : setInterval(() => more(1), Math.max(pace, 20));
      if (changing) {
        followers.add(look);
        setTimeout(look);
      } else setTimeout(() => more(200));
      return () => {
        left = true;
        clearInterval(timer);
        followers.delete(look);
      };
    },
    async openPort(_machine, port) {
      if (port === 5000) throw refuse(`no browser could be opened: type http://localhost:${port}/ into one`);
      Object.assign(window, { opened: port });
    },
    async quit() {
      document.body.textContent = 'The program has ended.';
    },
  };
}
