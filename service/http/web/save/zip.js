// A ZIP archive without compression: what it holds is small, or compressed already.

const UTF8_NAMES = 0x0800;
const DOS_DATE_1980 = 0x21;
const VERSION = 20;

/**
 * Return an archive.
 * @param {[string, Uint8Array][]} files  names, with / between folders, and contents
 */
export function zip(files) {
  const encoder = new TextEncoder();
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const [path, content] of files) {
    const name = encoder.encode(path);
    const shared = [VERSION, UTF8_NAMES, 0, 0, DOS_DATE_1980];
    const sizes = [crc32(content), content.length, content.length];
    const head = fields(
      [4, 0x04034b50],
      ...shared.map((value) => [2, value]),
      ...sizes.map((value) => [4, value]),
      [2, name.length],
      [2, 0],
    );
    directory.push(
      fields(
        [4, 0x02014b50],
        [2, VERSION],
        ...shared.map((value) => [2, value]),
        ...sizes.map((value) => [4, value]),
        [2, name.length],
        [2, 0],
        [2, 0],
        [2, 0],
        [2, 0],
        [4, 0],
        [4, offset],
      ),
      name,
    );
    parts.push(head, name, content);
    offset += head.length + name.length + content.length;
  }
  const directoryBytes = directory.reduce((sum, part) => sum + part.length, 0);
  const end = fields(
    [4, 0x06054b50],
    [2, 0],
    [2, 0],
    [2, files.length],
    [2, files.length],
    [4, directoryBytes],
    [4, offset],
    [2, 0],
  );
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

// Little-endian numbers of the given bytes, one after the other.
function fields(...numbers) {
  const bytes = new Uint8Array(numbers.reduce((sum, [size]) => sum + size, 0));
  let at = 0;
  for (const [size, value] of numbers) {
    for (let index = 0; index < size; index++) bytes[at++] = Math.floor(value / 2 ** (8 * index)) & 0xff;
  }
  return bytes;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}
