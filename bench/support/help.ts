/** What `npm run bench -- --help` prints. */
export const HELP = `Usage: npm run bench -- [wal] [redo] [safekeeper] [ingest] [engine] [getpage] [startset] [start] [branch] [load] [options]

  wal         WalReader with CRC, and DecodedRecord, over WAL in memory
  redo        replay of the same WAL on pages in memory, beside stock PostgreSQL's crash recovery
  safekeeper  large appends, idle timelines, and commits through safekeepers beside stock PostgreSQL
  ingest      taking WAL into layers, from memory and from a safekeeper, beside stock PostgreSQL's crash recovery
  engine      reads of pages out of layers, branches, and what WAL costs on the disk
  getpage     pages by the page service, over TCP, beside a server with nothing behind it; what is idle costs memory
  startset    what a server starts from, of clusters with 10000 and 100000 relations, or one of 1000000 blocks
  start       computes, from the request to the first answer, beside plain starts of stock PostgreSQL
  branch      a whole system: branches, with and without a server, and servers that are woken, through the API
  load        computes that read what is not there yet, and under load, beside stock PostgreSQL

  --only TEXT            only workloads (of safekeeper: appends, idle, commits; of engine: warm, layers, cold, branches,
                         creations, cost, inserts; of getpage: hot, redo, cold, ingest, idle; of start: 10 MB and the
                         like; of load: reads, select, tpcb) whose names contain TEXT
  --quick                safekeeper, ingest, engine, getpage, start, branch, load: a little of everything, to see whether it runs
  --seconds N            measure each figure for at least N seconds (2)
  --repeats N            and at least N times (5)
  --chunk-size KIB       feed the reader so many KiB at a time (128)
  --segment-size MIB     size of the WAL segments (16)
  --size GIB             start, branch: the size of the large database (10)
  --relations N,…        start: tables of the other ones (10000)
  --keep DIR             start, load: keep storage in DIR, with its databases, or use what is there
  --recordings DIR       keep the recorded workloads in DIR, or use those that are there
  --pg-bin DIR           server programs to use instead of the npm package's
  --json                 print one JSON document instead of tables`;
