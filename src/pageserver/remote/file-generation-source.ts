import { z } from 'zod';
import { AssertionError, CorruptionError, VarveError } from '../../base/errors.ts';
import { parseTenantId, type TenantId } from '../../base/ids.ts';
import { ATTACHED_MODES, type AttachedMode } from '../../contracts/pageserver-api-config.ts';
import { throwIfCancelled } from '../../io/cancelled.ts';
import type { Files } from '../../io/files.ts';
import { replaceFile } from '../../io/replace-file.ts';
import { mayUpload } from './attached-mode.ts';
import { decodeCheckedJson, encodeCheckedJson, type TextFormat } from './checked-text.ts';
import { GENERATION_MAX, isGeneration } from './generation.ts';
import { type GenerationClaim, type GenerationSource, generationTooLow } from './generation-source.ts';

export const GENERATIONS_FILE_NAME = 'generations';

const FORMAT: TextFormat = {
  name: 'varve-generations',
  version: 2,
  olderVersions: [1],
  errorCode: 'BAD_GENERATIONS_FILE',
  bytesMax: 64 * 1024 * 1024,
};

const schema = z.strictObject({
  tenants: z.array(
    z.strictObject({
      tenantId: z.string().transform((text) => parseTenantId(text)),
      generation: z.number().int().min(1).max(GENERATION_MAX),
      isAttached: z.boolean(),
      /** Version 1 knows but one. */
      mode: z.enum(ATTACHED_MODES).default('AttachedSingle'),
    }),
  ),
});

interface Attachment {
  /** The highest that was ever given. It stays when the tenant is detached. */
  readonly generation: number;
  readonly isAttached: boolean;
  readonly mode: AttachedMode;
}

/**
 * Generations in a local file, for a pageserver that runs alone. The file is written before a new generation is given,
 * so that no later process gives it again.
 *
 * There must be one of these for a directory at a time: whoever opens it holds the directory's lock.
 */
export class FileGenerationSource implements GenerationSource {
  readonly #files: Files;
  readonly #directory: string;
  /** What was written last, or was meant to be: where a write has failed, its generations count as given. */
  readonly #attachments: Map<TenantId, Attachment>;
  #queue: Promise<void> = Promise.resolve();

  private constructor(files: Files, directory: string, attachments: Map<TenantId, Attachment>) {
    this.#files = files;
    this.#directory = directory;
    this.#attachments = attachments;
  }

  /** @param directory must exist. @throws CorruptionError BAD_GENERATIONS_FILE */
  static async open(files: Files, directory: string): Promise<FileGenerationSource> {
    const attachments = decodeGenerations(await readIfThere(files, directory), directory);
    // It may have its name from a rename that a crash has caught before it was durable.
    await files.syncDirectory(directory);
    return new FileGenerationSource(files, directory, attachments);
  }

  attach(tenantId: TenantId, signal: AbortSignal, above = 0): Promise<number> {
    return this.#inOrder(signal, async () => {
      const generation = this.#raise(tenantId, above);
      await this.#write();
      return generation;
    });
  }

  adopt(tenantId: TenantId, generation: number, mode: AttachedMode, signal: AbortSignal): Promise<void> {
    return this.#inOrder(signal, async () => {
      const known = this.#attachments.get(tenantId)?.generation ?? 0;
      if (generation < known || !isGeneration(generation))
        throw generationTooLow(tenantId, generation, known);
      this.#attachments.set(tenantId, { generation, isAttached: true, mode });
      await this.#write();
    });
  }

  changeMode(tenantId: TenantId, generation: number, mode: AttachedMode, signal: AbortSignal): Promise<void> {
    return this.adopt(tenantId, generation, mode, signal);
  }

  modeOf(tenantId: TenantId): AttachedMode {
    return this.#attachments.get(tenantId)?.mode ?? 'AttachedSingle';
  }

  /** A stale tenant keeps its generation: the next one may be that of another node, and nothing is stored in this one. */
  reattachAll(signal: AbortSignal): Promise<ReadonlyMap<TenantId, number>> {
    return this.#inOrder(signal, async () => {
      const attached = new Map<TenantId, number>();
      for (const [tenantId, { isAttached, generation, mode }] of this.#attachments) {
        if (!isAttached) continue;
        attached.set(tenantId, mayUpload(mode) ? this.#raise(tenantId, 0, mode) : generation);
      }
      if (attached.size > 0) await this.#write();
      return attached;
    });
  }

  detach(tenantId: TenantId, signal: AbortSignal): Promise<void> {
    return this.#inOrder(signal, async () => {
      const attachment = this.#attachments.get(tenantId);
      if (attachment === undefined) return;
      // Written also where it is detached already: that write may have failed.
      this.#attachments.set(tenantId, { ...attachment, isAttached: false });
      await this.#write();
    });
  }

  async validate(
    claims: readonly GenerationClaim[],
    signal: AbortSignal,
  ): Promise<readonly GenerationClaim[]> {
    throwIfCancelled(signal);
    return claims.filter(({ tenantId, generation }) => {
      const attachment = this.#attachments.get(tenantId);
      if (attachment?.isAttached !== true || !mayUpload(attachment.mode)) return false;
      return attachment.generation === generation;
    });
  }

  /** A generation that is given counts, even if writing it fails: it may be on the disk all the same. */
  #raise(tenantId: TenantId, above: number, mode: AttachedMode = 'AttachedSingle'): number {
    const generation = Math.max(this.#attachments.get(tenantId)?.generation ?? 0, above) + 1;
    if (generation > GENERATION_MAX) throw new AssertionError('a tenant has used up its generations');
    this.#attachments.set(tenantId, { generation, isAttached: true, mode });
    return generation;
  }

  async #write(): Promise<void> {
    const tenants = [...this.#attachments].map(([tenantId, attachment]) => ({ tenantId, ...attachment }));
    const content = encodeCheckedJson(FORMAT, { tenants });
    await replaceFile(this.#files, this.#directory, GENERATIONS_FILE_NAME, content);
  }

  #inOrder<Result>(signal: AbortSignal, action: () => Promise<Result>): Promise<Result> {
    const running = this.#queue.then(() => {
      throwIfCancelled(signal);
      return action();
    });
    // Whoever called learns of a failure; the next one goes on all the same.
    this.#queue = running.then(
      () => undefined,
      () => undefined,
    );
    return running;
  }
}

async function readIfThere(files: Files, directory: string): Promise<Uint8Array | undefined> {
  try {
    await using file = await files.open(`${directory}/${GENERATIONS_FILE_NAME}`);
    // What is too large is refused by its decoder, one byte is enough for that.
    const content = new Uint8Array(Math.min(file.sizeBytes, FORMAT.bytesMax + 1));
    return content.subarray(0, await file.read(content, 0, content.length, 0));
  } catch (error) {
    if (error instanceof VarveError && error.code === 'FILE_NOT_FOUND') return undefined;
    throw error;
  }
}

function decodeGenerations(content: Uint8Array | undefined, directory: string): Map<TenantId, Attachment> {
  const attachments = new Map<TenantId, Attachment>();
  if (content === undefined) return attachments;
  const path = `${directory}/${GENERATIONS_FILE_NAME}`;
  for (const { tenantId, generation, isAttached, mode } of decodeCheckedJson(FORMAT, schema, content, path)
    .tenants) {
    if (attachments.has(tenantId)) {
      throw new CorruptionError(FORMAT.errorCode, `tenant ${tenantId} is named twice`, { file: path });
    }
    attachments.set(tenantId, { generation, isAttached, mode });
  }
  return attachments;
}
