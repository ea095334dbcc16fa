"""The one door: a bundle on media becomes what the site trusts, rung by rung."""
