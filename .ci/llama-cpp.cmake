# Read by CMake right before llama.cpp is configured (CMAKE_PROJECT_llama.cpp_INCLUDE_BEFORE, see the Makefile): its
# library for chat programs, which finetui does not use, takes as long to compile as all the rest.
set(LLAMA_BUILD_COMMON OFF)
