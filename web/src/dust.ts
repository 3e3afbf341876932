// The dust score: its description in words, and the automatic strength.

const LOW = 0.05; // strength 0 up to LOW and 1 from HIGH on, as in ssdie/enhancement/strength.py
const HIGH = 0.25;

/** Strength for a dust score: 0 without dust, 1 from moderate haze on, with a smooth transition. */
export function automaticStrength(dust: number): number {
  const t = Math.min(1, Math.max(0, (dust - LOW) / (HIGH - LOW)));
  return t * t * (3 - 2 * t);
}

/** Describe the amount of dust and the strength of the repair. */
export function describeDust(dust: number | null, strength: number): string {
  if (strength === 0)
    return dust !== null && dust < LOW ? "Hardly any dust: nothing changed" : "Strength 0: nothing changed";
  if (dust === null) return "Repaired";
  const amount = dust < LOW ? "Hardly any dust" : dust < HIGH ? "Some dust" : dust < 0.7 ? "Dusty" : "Thick dust";
  return `${amount}: repaired ${strength > 0.99 ? "in full" : `by ${Math.round(100 * strength)} %`}`;
}
