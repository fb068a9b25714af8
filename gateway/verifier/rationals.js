// Exact fractions and their one rounding: half to even, so that every reader prints the same digits.

/** A number as numerator / denominator (BigInt, denominator positive), not reduced. */
export class Fraction {
  constructor(numerator, denominator = 1n) {
    this.numerator = BigInt(numerator);
    this.denominator = BigInt(denominator);
  }

  plus(other) {
    return new Fraction(this.numerator * other.denominator + other.numerator * this.denominator, this.denominator * other.denominator);
  }

  compare(other) {
    const difference = this.numerator * other.denominator - other.numerator * this.denominator;
    return difference < 0n ? -1 : difference > 0n ? 1 : 0;
  }

  /** Return the number nearest to this with so many decimals, half to even. */
  rounded(decimals) {
    const scale = 10n ** BigInt(decimals);
    const negative = this.numerator < 0n;
    const scaled = (negative ? -this.numerator : this.numerator) * scale;
    let whole = scaled / this.denominator;
    const twice = (scaled % this.denominator) * 2n;
    if (twice > this.denominator || (twice === this.denominator && whole % 2n === 1n)) whole += 1n;
    return Number(negative ? -whole : whole) / Number(scale);
  }
}

/** Return a value as it is printed: whole numbers as they are, fractions rounded to six decimals. */
export const printed = (value) => (value instanceof Fraction ? value.rounded(6) : value);
