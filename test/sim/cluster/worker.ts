/** A process that runs chunks of seeds for workers.ts. */
import { type Chunk, runChunk } from './workers.ts';

const work = async (chunk: Chunk): Promise<void> => {
  process.send?.(await runChunk(chunk));
};

process.on('message', (chunk: Chunk) => {
  void work(chunk);
});
