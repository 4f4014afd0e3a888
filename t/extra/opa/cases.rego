# Decisions by documents that come along with their questions.
package cases

import rego.v1

decisions := [data.sandbox.answer(one.layers, one.question) | some one in input.cases]
