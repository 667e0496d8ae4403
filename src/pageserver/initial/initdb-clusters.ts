import type { Files } from '../../io/files.ts';
import type { Processes } from '../../io/processes.ts';
import { getPostgresVersion } from '../../postgres/versions/version.ts';
import type { InitialCluster } from '../initial-layer.ts';
import type { InitialClusters } from './initial-clusters.ts';

/** From here on checksums are on unless somebody says otherwise. */
const CHECKSUMS_BY_DEFAULT_MAJOR = 18;
/** From here on the server brings a locale of its own, which is the same on every machine. */
const BUILTIN_LOCALE_MAJOR = 17;

export interface InitdbDoors {
  readonly processes: Processes;
  readonly files: Files;
  /** The directory of a major's programs. @throws VarveError where there are none */
  readonly findPrograms: (major: number) => Promise<string>;
}

/** New clusters, as PostgreSQL's own `initdb` makes them. */
export class InitdbClusters implements InitialClusters {
  readonly #doors: InitdbDoors;
  readonly #superuser: string;

  /** @param superuser name of the role that a new cluster has */
  constructor(doors: InitdbDoors, superuser = 'postgres') {
    this.#doors = doors;
    this.#superuser = superuser;
  }

  async withCluster<Result>(
    major: number,
    signal: AbortSignal,
    use: (cluster: InitialCluster) => Promise<Result>,
  ): Promise<Result> {
    const { processes, files, findPrograms } = this.#doors;
    const version = getPostgresVersion(major);
    const programs = await findPrograms(major);
    await using workplace = await processes.openDirectory();
    const directory = `${workplace.path}/data`;
    const parameters = [
      `--pgdata=${directory}`,
      `--username=${this.#superuser}`,
      '--encoding=UTF8',
      ...localeParameters(major),
      // Nobody connects to this cluster: who may connect is a matter of the computes.
      '--auth=reject',
      // It is read once, and made again if the machine goes down before.
      '--no-sync',
      '--no-instructions',
      // Hint bits would be logged as images of whole pages, and pages would have to be sealed when they are served.
      ...(major >= CHECKSUMS_BY_DEFAULT_MAJOR ? ['--no-data-checksums'] : []),
    ];
    const environment = { LC_ALL: 'C', TZ: 'UTC' };
    await workplace.run(`${programs}/initdb`, parameters, { signal, environment, needsName: true });
    return await use({ files, directory, version });
  }
}

const localeParameters = (major: number): string[] =>
  major >= BUILTIN_LOCALE_MAJOR
    ? ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
    : ['--locale=C.UTF-8'];
