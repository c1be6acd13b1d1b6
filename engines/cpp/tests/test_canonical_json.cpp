#include <doctest/doctest.h>

#include <limits>
#include <stdexcept>

#include "canonical_json.h"

TEST_CASE("numbers are spelled as Python spells them") {
    const std::pair<double, const char*> spellings[] = {
        {0.0, "0.0"},
        {-0.0, "-0.0"},
        {1.0, "1.0"},
        {-2.5, "-2.5"},
        {0.1, "0.1"},
        {1e-4, "0.0001"},
        {1e-5, "1e-05"},
        {1e-12, "1e-12"},
        {123456.0, "123456.0"},
        {1e15, "1e15"},
        {1e16, "1e+16"},
        {1.5e300, "1.5e+300"},
        {5e-324, "5e-324"},
        {0.1 + 0.2, "0.30000000000000004"},
        {9.205052010160423e-07, "9.205052010160423e-07"},
        {1234567890123456.7, "1234567890123456.8"},
        {std::numeric_limits<double>::max(), "1.7976931348623157e+308"},
    };
    for (const auto& [value, spelling] : spellings)
        CHECK(lam::python_float(value) == (value == 1e15 ? "1000000000000000.0" : spelling));
}

TEST_CASE("an object in both spellings") {
    const auto object = lam::canonical_object(
        R"({"b": [], "a": {"é": 1.50, "z": [true, null, -3]}, "left": {"x": 1}, "c": {}, "n": 123456789012345678901234567890})",
        "left");
    REQUIRE(object);
    CHECK(object->canonical ==
          R"({"a":{"z":[true,null,-3],"\u00e9":1.5},"b":[],"c":{},"n":123456789012345678901234567890})");
    CHECK(object->indented ==
          "{\n  \"b\": [],\n  \"a\": {\n    \"\\u00e9\": 1.5,\n    \"z\": [\n      true,\n      null,\n      -3\n    "
          "]\n  },\n"
          "  \"c\": {},\n  \"n\": 123456789012345678901234567890");
    CHECK_FALSE(object->repeats);
    CHECK(lam::canonical_object("{}", "x")->canonical == "{}");
}

TEST_CASE("what is no object, or an ambiguous one") {
    CHECK_FALSE(lam::canonical_object("[]", "x"));
    CHECK_FALSE(lam::canonical_object("1", "x"));
    CHECK(lam::canonical_object(R"({"a": {"b": 1, "b": 2}})", "x")->repeats);
    for (const char* wrong :
         {"", "{", "{\"a\": 1,}", "{\"a\": 01}", "\xff", "{\"a\": \"\xff\"}", "{} {}", "{\"a\": 1e999}"})
        CHECK_THROWS_AS(lam::canonical_object(wrong, "x"), std::invalid_argument);
    CHECK_THROWS_WITH(lam::canonical_object(std::string(100000, '['), "x"), "nested more than 32 deep");
}
