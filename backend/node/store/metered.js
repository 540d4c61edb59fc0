/** A statement with its figures: sent, answered or failed. */

/** Tells `meter` of the statement `sql`, which `run` sends. */
export async function metered(meter, sql, run) {
  const told = meter?.begin();
  try {
    const result = await run();
    told?.gave([sql], result.rows.length);
    return result;
  } catch (e) {
    told?.failed([sql]);
    throw e;
  }
}
