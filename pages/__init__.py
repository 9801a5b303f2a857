"""Pages of HTML for people to look at: runs, comparisons of runs, evaluations. Each is one file that needs no network.

A page holds uPlot, the library that draws its curves (50 kB, MIT), the numbers as JSON, and what `script.js` and
`style.css` here make of them; it follows the reader's choice of light or dark. The library comes from the package
youplot, of which nothing else is used.
"""
