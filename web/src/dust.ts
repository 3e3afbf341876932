// The dust score: what it says in words, and how much of the repair it asks for.

const LOW = 0.05; // scores up to which nothing, and from which everything, is applied, as in ssdie/enhancement/strength.py
const HIGH = 0.25;

/** Strength by the dust score: none where there is no dust, all of it from a moderate haze on. */
export function automaticStrength(dust: number): number {
  const t = Math.min(1, Math.max(0, (dust - LOW) / (HIGH - LOW)));
  return t * t * (3 - 2 * t);
}

/** Say how much dust there is, and what became of the photo. */
export function describeDust(dust: number | null, strength: number): string {
  if (strength === 0)
    return dust !== null && dust < LOW ? "Hardly any dust: nothing changed" : "Strength 0: nothing changed";
  if (dust === null) return "Repaired";
  const amount = dust < LOW ? "Hardly any dust" : dust < HIGH ? "Some dust" : dust < 0.7 ? "Dusty" : "Thick dust";
  return `${amount}: repaired ${strength > 0.99 ? "in full" : `by ${Math.round(100 * strength)} %`}`;
}
