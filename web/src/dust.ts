// The dust score: what it says in words, and how much of the repair it asks for.

/** Strength by the dust score: none where there is no dust, all of it from a moderate haze on. */
export function automaticStrength(dust: number): number {
  const t = Math.min(1, Math.max(0, (dust - 0.15) / (0.45 - 0.15)));
  return t * t * (3 - 2 * t);
}

/** Say how much dust there is, and what became of the photo. */
export function describeDust(dust: number | null, strength: number): string {
  if (strength === 0)
    return dust !== null && dust < 0.15 ? "Hardly any dust: nothing changed" : "Strength 0: nothing changed";
  if (dust === null) return "Repaired";
  const amount = dust < 0.15 ? "Hardly any dust" : dust < 0.45 ? "Some dust" : dust < 0.7 ? "Dusty" : "Thick dust";
  return `${amount}: repaired ${strength > 0.99 ? "in full" : `by ${Math.round(100 * strength)} %`}`;
}
