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

const [QUOTE, COMMA, RETURN, LINE] = ['"', ',', '\r', '\n'].map((c) => c.charCodeAt(0));

/** A field as it stands in a file. */
export function quoted(text) {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export class Records {
  #field = [];
  #fields = [];
  #length = 0;
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
    for (const byte of chunk) this.#byte(byte);
    return this.#rows.splice(0);
  }

  /** The last row, if the file does not end with a line's end. */
  end() {
    if (this.#length > 0) this.#record();
    if (!this.#headed) throw Refusal.bad(`line 1: expected the header ${HEADER.join(',')}`);
    return this.#rows.splice(0);
  }

  #byte(byte) {
    if (byte === LINE) this.#line += 1;
    if (this.#inQuotes && !this.#wasQuote) {
      if (byte === QUOTE) this.#wasQuote = true;
      else this.#put(byte);
      return;
    }
    if (this.#wasQuote && byte === QUOTE) {
      this.#wasQuote = false;
      return this.#put(byte);
    }
    if (this.#wasQuote) this.#inQuotes = this.#wasQuote = false;
    if (byte === QUOTE && this.#field.length === 0) this.#begin();
    else if (byte === COMMA) this.#endField();
    else if (byte === LINE) this.#endLine();
    else if (byte !== RETURN) this.#put(byte);
  }

  #begin() {
    this.#inQuotes = true;
    this.#length += 1;
  }

  #put(byte) {
    this.#length += 1;
    if (this.#length > MAX_RECORD) throw this.#wrong(`a record has at most ${MAX_RECORD} bytes`);
    this.#field.push(byte);
  }

  #endField() {
    this.#length += 1;
    if (this.#fields.length === HEADER.length) throw this.#wrong(fieldsExpected());
    this.#fields.push(this.#field);
    this.#field = [];
  }

  /** An empty line is no record. */
  #endLine() {
    if (this.#length > 0) this.#record();
    this.#started = this.#line;
  }

  #record() {
    this.#endField();
    if (this.#fields.length !== HEADER.length) throw this.#wrong(fieldsExpected());
    const fields = this.#fields.map((bytes) => this.#text(bytes));
    this.#fields = [];
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

  #text(bytes) {
    const buffer = Buffer.from(bytes);
    if (!isUtf8(buffer)) throw this.#wrong('it is not UTF-8');
    return buffer.toString('utf8');
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
