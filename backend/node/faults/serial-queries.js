/**
 * Serial queries, and its cure: how questions that do not depend on each other are asked.
 *
 * The fault awaits one after another; the cure asks them all and awaits them together.
 */
import { Fault } from './fault.js';

export class SerialQueries extends Fault {
  static kind = 'serial-queries';

  /**
   * The answers, in the order of the questions.
   * @template T
   * @param {(() => Promise<T>)[]} questions
   */
  async ask(questions) {
    if (!this.on) return Promise.all(questions.map((q) => q()));
    const answers = [];
    for (const question of questions) {
      answers.push(await question());
      if (answers.length > 1) this.tookEffect();
    }
    return answers;
  }
}
