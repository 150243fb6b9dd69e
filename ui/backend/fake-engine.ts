// What a played machine's engine has beside containers: images, volumes, networks, and what containers use.
import type { Answered, Container, EngineAction, EngineQuestion, Failure, Figures, Image, Layer, Network, Source, Terminal, Told, Volume } from './backend.ts';

const MIB = 2 ** 20;
const DAY = 86_400;
const id = (digit: string) => `sha256:${digit.repeat(64)}`;
const refuse = (message: string, ...hints: string[]): Failure => ({ message, hints, cancelled: false });
const pause = (milliseconds: number) => new Promise((go) => setTimeout(go, milliseconds));

export class PlayedEngine {
  readonly #pace: number;
  readonly #containers: () => Container[];
  readonly #changed: () => void;
  images: Image[];
  volumes: Volume[];
  networks: Network[];

  constructor(pace: number, containers: () => Container[], changed: () => void) {
    [this.#pace, this.#containers, this.#changed] = [pace, containers, changed];
    const now = Math.floor(Date.now() / 1000);
    const image = (digit: string, reference: string | null, mib: number, days: number, used_by: string[] = []): Image => ({ id: id(digit), reference, size_bytes: mib * MIB, created: now - days * DAY, used_by });
    this.images = [
      image('a', 'alpine:3.20', 8, 40),
      image('b', 'postgres:17', 412, 12, ['shop-db-1']),
      image('c', 'registry:2', 24, 300, ['registry']),
      image('d', 'shop/web:1.4', 187, 3, ['shop-web-1']),
      image('d', 'shop/web:latest', 187, 3, ['shop-web-1']),
      image('e', 'shop/worker:latest', 203, 3, ['shop-worker-1']),
      image('f', null, 181, 4),
    ];
    const volume = (name: string, used_by: string[], more: Partial<Volume> = {}): Volume => ({ name, driver: 'local', created: new Date((now - 12 * DAY) * 1000).toISOString(), project: null, anonymous: false, used_by, ...more });
    this.volumes = [
      volume('old-backup', []),
      volume('shop_data', ['shop-db-1'], { project: 'shop' }),
      volume('7f3c'.repeat(16), [], { anonymous: true }),
    ];
    const network = (name: string, subnets: string[], more: Partial<Network> = {}): Network => ({ name, driver: 'bridge', subnets, internal: false, built_in: false, members: [], ...more });
    this.networks = [
      network('lonely', ['172.20.0.0/16'], { internal: true }),
      network('shop_default', ['172.18.0.0/16'], { members: [{ container: 'shop-db-1', address: '172.18.0.2' }, { container: 'shop-migrate-1', address: null }, { container: 'shop-web-1', address: '172.18.0.3' }] }),
      network('bridge', ['172.17.0.0/16'], { built_in: true, members: [{ container: 'registry', address: '172.17.0.2' }] }),
      network('host', [], { built_in: true, driver: 'host' }),
      network('none', [], { built_in: true, driver: 'null' }),
    ];
  }

  told(of: Source['of']): Told | null {
    switch (of) {
      case 'images':
        return { kind: 'images', images: this.images };
      case 'volumes':
        return { kind: 'volumes', volumes: this.volumes };
      case 'networks':
        return { kind: 'networks', networks: this.networks };
      default:
        return null;
    }
  }

  /** What is told as time goes by: figures, or layers; returns how to leave it. */
  play(source: Source & { of: 'figures' | 'pull' }, say: (told: Told) => void, failed: (failure: Failure) => void): () => void {
    let step = 0;
    const every = source.of === 'figures' ? Math.max(this.#pace, 50) : Math.max(this.#pace / 2, 10);
    const timer = setInterval(() => {
      step++;
      if (source.of === 'figures') say({ kind: 'figures', figures: figures(step) });
      else if (source.image.includes('missing')) {
        clearInterval(timer);
        failed(refuse(`the engine of machine "${source.machine}" answered 404: pull access denied for ${source.image}, repository does not exist or may require 'docker login'`));
      } else {
        const layers: Layer[] = ['4f4fb700ef54', '9c0abc9c5bd3', 'e8f7b2a11c04'].map((id, at) => {
          const done = Math.min(Math.max(step - at * 3, 0), 10);
          if (done === 0) return { id, status: 'Waiting', done: null, total: null };
          return done < 10 ? { id, status: 'Downloading', done: done * 3 * MIB, total: 30 * MIB } : { id, status: 'Pull complete', done: null, total: null };
        });
        say({ kind: 'pull', status: `Pulling from library/${source.image}`, layers });
        if (layers.every((layer) => layer.status === 'Pull complete')) {
          clearInterval(timer);
          const reference = source.image.includes(':') ? source.image : `${source.image}:latest`;
          this.images.unshift({ id: id('9'), reference, size_bytes: 90 * MIB, created: Math.floor(Date.now() / 1000), used_by: [] });
          say({ kind: 'end' });
          this.#changed();
        }
      }
    }, every);
    return () => clearInterval(timer);
  }

  line(action: EngineAction): string {
    const words = ['docker', '--context', action.machine];
    const name = (word: string, what: string) => {
      if (!/^[a-z0-9][a-z0-9_.:/@-]*$/i.test(word)) throw `invalid args \`action\` for command \`engine_line\`: ${JSON.stringify(word)} is no ${what}: it begins with a letter or digit`;
      return word;
    };
    switch (action.verb) {
      case 'pull':
        return [...words, 'pull', name(action.image, 'name of an image')].join(' ');
      case 'tag':
        return [...words, 'tag', action.image.slice(7, 19), name(action.name, 'name of an image')].join(' ');
      case 'remove_image':
        return [...words, 'rmi', action.name].join(' ');
      case 'remove_unnamed_image':
        return [...words, 'rmi', action.image.slice(7, 19)].join(' ');
      case 'prune_images':
        return [...words, 'image prune', ...(action.all ? ['--all'] : []), '--force'].join(' ');
      case 'remove_volumes':
        return [...words, 'volume rm', ...action.names].join(' ');
      case 'create_network':
        return [...words, 'network create', ...(action.internal ? ['--internal'] : []), name(action.name, 'name')].join(' ');
      case 'remove_network':
        return [...words, 'network rm', action.name].join(' ');
      case 'run': {
        const { image, name: called, ports, volumes, environment, restart } = action.new;
        words.push('run -d');
        if (called) words.push('--name', name(called, 'name'));
        for (const one of ports) words.push('-p', `${one.port}:${one.container_port}${one.protocol === 'udp' ? '/udp' : ''}`);
        for (const one of volumes) words.push('-v', `${name(one.volume, 'name')}:${one.target}`);
        for (const one of environment) words.push('-e', /^[\w=./:-]+$/.test(`${one.name}=${one.value}`) ? `${one.name}=${one.value}` : `'${one.name}=${one.value}'`);
        if (restart !== 'no') words.push('--restart', restart);
        return [...words, image].join(' ');
      }
    }
  }

  async change(action: EngineAction, run: (name: string, image: string, ports: string[]) => void): Promise<number | null> {
    await pause(this.#pace);
    let freed: number | null = null;
    const inUse = (what: string, by: string[]) => {
      if (by.length > 0) throw refuse(`the engine of machine "${action.machine}" answered 409: ${what} is in use - [${by.join(', ')}]`);
    };
    switch (action.verb) {
      case 'tag': {
        const image = this.images.find((image) => image.id === action.image);
        if (image) this.images.push({ ...image, reference: action.name.includes(':') ? action.name : `${action.name}:latest` });
        break;
      }
      case 'remove_image':
        inUse(action.name, this.images.find((image) => image.reference === action.name)?.used_by ?? []);
        this.images = this.images.filter((image) => image.reference !== action.name);
        break;
      case 'remove_unnamed_image':
        this.images = this.images.filter((image) => image.id !== action.image || image.reference !== null);
        break;
      case 'prune_images': {
        const gone = this.images.filter((image) => image.used_by.length === 0 && (action.all || image.reference === null));
        freed = gone.reduce((sum, image) => sum + image.size_bytes, 0);
        this.images = this.images.filter((image) => !gone.includes(image));
        break;
      }
      case 'remove_volumes':
        for (const name of action.names) inUse(name, this.volumes.find((volume) => volume.name === name)?.used_by ?? []);
        this.volumes = this.volumes.filter((volume) => !action.names.includes(volume.name));
        break;
      case 'create_network':
        if (this.networks.some((network) => network.name === action.name)) throw refuse(`the engine of machine "${action.machine}" answered 409: network with name ${action.name} already exists`);
        this.networks.unshift({ name: action.name, driver: 'bridge', subnets: ['172.21.0.0/16'], internal: action.internal, built_in: false, members: [] });
        break;
      case 'remove_network':
        this.networks = this.networks.filter((network) => network.name !== action.name);
        break;
      case 'run':
        if (this.#containers().some((one) => one.name === action.new.name)) throw refuse(`the engine of machine "${action.machine}" answered 409: Conflict. The container name "/${action.new.name}" is already in use`);
        run(action.new.name ?? 'brave_curie', action.new.image, action.new.ports.map((one) => `${one.port}:${one.container_port}/${one.protocol}`));
        break;
      case 'pull':
        break;
    }
    this.#changed();
    return freed;
  }

  async ask(question: EngineQuestion): Promise<Answered> {
    await pause(this.#pace);
    const docker = `docker --context ${question.machine}`;
    switch (question.of) {
      case 'container': {
        const one = this.#containers().find((container) => container.id === question.id);
        const inspected = { Id: question.id, Name: `/${one?.name}`, State: { Status: one?.state ?? '', Running: one?.state === 'running', ExitCode: 0, Error: '' }, Config: { Image: one?.image ?? '', Env: ['PATH=/usr/local/bin:/usr/bin:/bin', 'LANG=C.UTF-8'], Cmd: ['nginx', '-g', 'daemon off;'], Labels: {} }, Mounts: [], NetworkSettings: { Ports: { '80/tcp': [{ HostIp: '0.0.0.0', HostPort: '8080' }] } } };
        return { line: `${docker} inspect ${question.id.slice(0, 12)}`, answer: { kind: 'container', inspected } };
      }
      case 'processes':
        return { line: `${docker} top ${question.id.slice(0, 12)}`, answer: { kind: 'processes', titles: ['UID', 'PID', 'PPID', 'C', 'STIME', 'TTY', 'TIME', 'CMD'], rows: [['root', '4711', '4690', '0', '10:00', '?', '00:00:00', 'nginx: master process nginx -g daemon off;'], ['101', '4755', '4711', '0', '10:00', '?', '00:00:01', 'nginx: worker process']] } };
      case 'history':
        return { line: `${docker} history ${question.image.slice(7, 19)}`, answer: { kind: 'history', steps: [{ made_by: 'CMD ["nginx" "-g" "daemon off;"]', size_bytes: 0, created: 1_760_000_000 }, { made_by: 'RUN /bin/sh -c apk add --no-cache nginx # buildkit', size_bytes: 41 * MIB, created: 1_760_000_000 }, { made_by: 'ADD alpine-minirootfs.tar.gz / # buildkit', size_bytes: 8 * MIB, created: 1_750_000_000 }] } };
      case 'unused_images': {
        const gone = this.images.filter((image) => image.used_by.length === 0 && (question.all || image.reference === null));
        return { line: `${docker} image ls`, answer: { kind: 'unused', names: gone.map((image) => image.reference ?? image.id.slice(7, 19)), at_most_bytes: gone.reduce((sum, image) => sum + image.size_bytes, 0) } };
      }
      case 'volume_sizes':
        return { line: `${docker} system df --verbose`, answer: { kind: 'volume_sizes', sizes: Object.fromEntries(this.volumes.map((volume, at) => [volume.name, (at + 1) * 37 * MIB])) } };
    }
  }

  /** A shell that says again what it is told. */
  terminal(say: (told: Told) => void): Terminal {
    setTimeout(() => say({ kind: 'output', text: '/ # ' }));
    let line = '';
    return {
      did(typed) {
        if (typed.did === 'size') return;
        for (const key of typed.text) {
          if (key === '\r') {
            if (line === 'exit') say({ kind: 'end' });
            else say({ kind: 'output', text: `\r\n\x1b[32m${line}\x1b[0m: played\r\n/ # ` });
            line = '';
          } else {
            line += key;
            say({ kind: 'output', text: key });
          }
        }
      },
      close() {},
    };
  }
}

function figures(step: number): Figures {
  const wave = (every: number) => 1 + Math.sin(step / every);
  return {
    cpu_permille: Math.round(240 * wave(4) + 40 * wave(1.7)),
    memory_bytes: Math.round((180 + 12 * wave(6)) * MIB),
    memory_limit_bytes: 2048 * MIB,
    network_in_bytes: Math.round(step * 40_000 + 30_000 * wave(3)),
    network_out_bytes: Math.round(step * 210_000 + 90_000 * wave(5)),
    disk_read_bytes: 12 * MIB,
    disk_write_bytes: Math.round(step * 9_000 + 9_000 * wave(2)),
    processes: 5,
  };
}
