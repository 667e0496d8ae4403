import type { Command } from 'commander';
import type { CliContext } from '../context.ts';
import { addTimelineOptions, type TimelineFlags, toPlace } from '../inspected-place.ts';

interface DrawFlags extends TimelineFlags {
  readonly out?: string;
}

export function registerLayerDraw(layer: Command, context: CliContext): void {
  addTimelineOptions(
    layer
      .command('draw')
      .description('draw the layers of a timeline, keys × LSNs, as SVG')
      .argument('[directory]', "a timeline's directory, or a pageserver's with --tenant and --timeline"),
  )
    .option('-o, --out <file>', 'write the picture to this new file, and not to standard output')
    .addHelpText(
      'after',
      '\nA browser shows what a layer is when the mouse is on it. With --s3 the newest index in the bucket says which' +
        '\nlayers there are, else the names of the files. docs/layers.md explains the picture.',
    )
    .action((directory: string | undefined, flags: DrawFlags) => draw(context, directory, flags));
}

async function draw(context: CliContext, directory: string | undefined, flags: DrawFlags): Promise<void> {
  const { drawTimeline } = await import('../../pageserver/main.ts');
  const { svg, layers } = await drawTimeline(toPlace(directory, flags));
  const { files, output, isJson } = context;
  if (flags.out === undefined) {
    if (isJson) await output.writeJson({ layers, svg });
    else await output.write(svg);
    return;
  }
  await files.create(flags.out, new TextEncoder().encode(svg));
  if (isJson) await output.writeJson({ layers, file: flags.out });
  else await output.write(`${layers} layer${layers === 1 ? '' : 's'} drawn in ${flags.out}\n`);
}
