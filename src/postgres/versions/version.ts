import { BadRequestError } from '../../base/errors.ts';

/**
 * What differs between PostgreSQL's major versions, as one table: code reads a field of it and never asks
 * which version it is. (xlog_internal.h, pg_control.h, catversion.h, xlogrecord.h, relmapper.c, twophase.c)
 */
export interface PostgresVersion {
  readonly major: number;
  /** XLOG_PAGE_MAGIC: the first two bytes of each WAL page. */
  readonly walPageMagic: number;
  readonly pgControlVersion: number;
  readonly catalogVersion: number;
  /** Where the CRC of pg_control stands; it covers all bytes before. */
  readonly controlFileCrcOffset: number;
  /** CheckPoint carries wal_level (17 and later). */
  readonly checkPointHasWalLevel: boolean;
  /** Bits of XLogRecordBlockImageHeader.bimg_info. */
  readonly imageHasHole: number;
  readonly imageApply: number;
  /** Bit that stands for each way of compression; 0 where the version has none of that kind. */
  readonly imagePglz: number;
  readonly imageLz4: number;
  readonly imageZstd: number;
  /** Hexadecimal digits in the name of a file of pg_twophase. */
  readonly twoPhaseNameDigits: number;
  /** Size of pg_filenode.map and most mappings it can hold. */
  readonly relationMapBytes: number;
  readonly relationMapEntriesMax: number;
  /** clog and commit_ts page numbers in WAL are 64 bits wide (17 and later). */
  readonly slruPageNumberBytes: 4 | 8;
  /** sizeof(xl_xact_stats_item) in commit, abort and prepare records; 0 where they have none (before 15). */
  readonly transactionStatsItemBytes: 0 | 12 | 16;
  /** Where mock_authentication_nonce stands in pg_control. */
  readonly controlFileNonceOffset: number;
  /** pg_control says whether char is signed (default_char_signedness, 18 and later), right before the nonce. */
  readonly controlFileHasCharSignedness: boolean;
}

const common = {
  imageHasHole: 0x01,
  imageApply: 0x02,
  imagePglz: 0x04,
  imageLz4: 0x08,
  imageZstd: 0x10,
} as const;

/** PostgreSQL 17. */
export const POSTGRES_17: PostgresVersion = {
  ...common,
  major: 17,
  walPageMagic: 0xd116,
  pgControlVersion: 1700,
  catalogVersion: 202406281,
  controlFileCrcOffset: 288,
  checkPointHasWalLevel: true,
  twoPhaseNameDigits: 16,
  relationMapBytes: 524,
  relationMapEntriesMax: 64,
  slruPageNumberBytes: 8,
  transactionStatsItemBytes: 12,
  controlFileNonceOffset: 256,
  controlFileHasCharSignedness: false,
};

const versions: readonly PostgresVersion[] = [POSTGRES_17];

/** The table of one major version. Throws BadRequestError for a major that Varve does not know. */
export function getPostgresVersion(major: number): PostgresVersion {
  const version = versions.find((candidate) => candidate.major === major);
  if (version === undefined) {
    const known = versions.map((candidate) => candidate.major).join(', ');
    throw new BadRequestError(
      'UNKNOWN_POSTGRES_VERSION',
      `PostgreSQL ${major} is not supported; supported: ${known}`,
    );
  }
  return version;
}

/** The version whose WAL pages begin with `magic`, or undefined. */
export function findPostgresVersionByWalMagic(magic: number): PostgresVersion | undefined {
  return versions.find((version) => version.walPageMagic === magic);
}
