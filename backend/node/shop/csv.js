/**
 * CSV (RFC 4180), taken apart as it comes: whichever way a stream is cut, the records are the same.
 *
 * Owns the form of a record and of an offer's row. A wrong one is named by its line.
 */
import { isUtf8 } from 'node:buffer';
import { Refusal } from '../http/refusal.js';

/** The first line must say this. */
export const HEADER = ['sku', 'name', 'cents', 'quantity'];
/** Longest record, bytes. */
const MAX_RECORD = 4_096;
const MAX_SKU = 40;
const MAX_NAME = 200;
const MAX_CENTS = 100_000_000;
const MAX_QUANTITY = 1_000_000;

/** What some programs put before a text that is UTF-8. It is no part of it. */
const MARK = Buffer.from('\u{feff}');
const [QUOTE, COMMA, RETURN, LINE] = ['"', ',', '\r', '\n'].map((c) => c.charCodeAt(0));

/** A field as it stands in a file. */
export function quoted(text) {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export class Records {
  /** What the fields of the record that is read now hold, one after the other, and where each ends. */
  #text = Buffer.alloc(MAX_RECORD);
  #filled = 0;
  #ends = [];
  /** Bytes of the record, its separators among them. */
  #length = 0;
  /** How much of the mark has come; all of it, when it is known whether it is there. */
  #marked = 0;
  #inQuotes = false;
  #wasQuote = false;
  #line = 1;
  #started = 1;
  #headed = false;
  #rows = [];

  /**
   * The rows that end in `chunk`.
   * @param {Uint8Array} chunk
   */
  take(chunk) {
    for (let at = this.#afterMark(chunk); at < chunk.length; ) {
      const end = this.#plainFrom(chunk, at);
      if (end > at) this.#put(chunk.subarray(at, end));
      else this.#byte(chunk[at]);
      at = Math.max(end, at + 1);
    }
    return this.#rows.splice(0);
  }

  /** The last row, if the file does not end with a line's end. */
  end() {
    if (this.#length > 0) this.#record();
    if (!this.#headed) throw Refusal.bad(`line 1: expected the header ${HEADER.join(',')}`);
    return this.#rows.splice(0);
  }

  /** Where in `chunk` that begins which is not the mark. */
  #afterMark(chunk) {
    for (let at = 0; at < chunk.length && this.#marked < MARK.length; at += 1) {
      if (chunk[at] !== MARK[this.#marked]) {
        this.#put(MARK.subarray(0, this.#marked));
        this.#marked = MARK.length;
        return at;
      }
      this.#marked += 1;
      if (this.#marked === MARK.length) return at + 1;
    }
    return this.#marked < MARK.length ? chunk.length : 0;
  }

  /** Up to where there is nothing but what a field holds. */
  #plainFrom(chunk, from) {
    let at = from;
    if (this.#wasQuote) return at;
    if (this.#inQuotes) while (at < chunk.length && chunk[at] !== QUOTE && chunk[at] !== LINE) at += 1;
    else while (at < chunk.length && chunk[at] !== QUOTE && chunk[at] !== COMMA && chunk[at] !== LINE && chunk[at] !== RETURN) at += 1;
    return at;
  }

  #byte(byte) {
    if (byte === LINE) this.#line += 1;
    if (this.#inQuotes && !this.#wasQuote) {
      if (byte === QUOTE) this.#wasQuote = true;
      else this.#put([byte]);
      return;
    }
    if (this.#wasQuote && byte === QUOTE) {
      this.#wasQuote = false;
      return this.#put([byte]);
    }
    if (this.#wasQuote) this.#inQuotes = this.#wasQuote = false;
    if (byte === QUOTE && this.#filled === (this.#ends.at(-1) ?? 0)) this.#begin();
    else if (byte === COMMA) this.#endField();
    else if (byte === LINE) this.#endLine();
    else if (byte !== RETURN) this.#put([byte]);
  }

  #begin() {
    this.#inQuotes = true;
    this.#length += 1;
  }

  #put(bytes) {
    this.#length += bytes.length;
    if (this.#length > MAX_RECORD) throw this.#wrong(`a record has at most ${MAX_RECORD} bytes`);
    this.#text.set(bytes, this.#filled);
    this.#filled += bytes.length;
  }

  #endField() {
    this.#length += 1;
    if (this.#ends.length === HEADER.length) throw this.#wrong(fieldsExpected());
    this.#ends.push(this.#filled);
  }

  /** An empty line is no record. */
  #endLine() {
    if (this.#length > 0) this.#record();
    this.#started = this.#line;
  }

  #record() {
    this.#endField();
    if (this.#ends.length !== HEADER.length) throw this.#wrong(fieldsExpected());
    const fields = this.#ends.map((end, n) => this.#field(this.#ends[n - 1] ?? 0, end));
    this.#ends = [];
    this.#filled = 0;
    this.#length = 0;
    if (this.#headed) this.#rows.push(this.#offer(fields));
    else this.#head(fields);
  }

  #head(fields) {
    if (fields.join() !== HEADER.join()) throw this.#wrong(`expected the header ${HEADER.join(',')}`);
    this.#headed = true;
  }

  #offer([sku, name, cents, quantity]) {
    return [
      this.#textField('sku', sku, MAX_SKU),
      this.#textField('name', name, MAX_NAME),
      this.#numberField('cents', cents, MAX_CENTS),
      this.#numberField('quantity', quantity, MAX_QUANTITY),
    ];
  }

  #field(from, to) {
    const bytes = this.#text.subarray(from, to);
    if (!isUtf8(bytes)) throw this.#wrong('it is not UTF-8');
    return bytes.toString('utf8');
  }

  #textField(what, text, most) {
    const trimmed = text.trim();
    if (trimmed === '') throw this.#wrong(`${what} is empty`);
    if (trimmed.includes('\0')) throw this.#wrong(`${what} contains a NUL`);
    if (Buffer.byteLength(trimmed) > most) throw this.#wrong(`${what} has more than ${most} bytes`);
    return trimmed;
  }

  #numberField(what, text, most) {
    const trimmed = text.trim();
    const number = /^\d{1,10}$/.test(trimmed) ? Number(trimmed) : NaN;
    if (!(number <= most)) throw this.#wrong(`${what} is \`${text}\`, expected a whole number from 0 to ${most}`);
    return number;
  }

  #wrong(why) {
    return Refusal.bad(`line ${this.#started}: ${why}`);
  }
}

function fieldsExpected() {
  return `expected the ${HEADER.length} fields ${HEADER.join(',')}`;
}
