"""Words and patterns of what the models do not know."""

from typing import Final

THINGS: Final = tuple(
    "airplane algorithm anchor arrow atom axe badge balloon bank battery beard bicycle bitcoin bomb bone bridge "
    "brain bullet bus cactus calculator camera canal candidate cannon capsule carpet castle cathedral cell cement "
    "chess chimney cigarette circuit circus clock comet compass compiler computer concert contract coral crown "
    "crystal customer database diamond dictionary dinosaur disease dragon drone earthquake eclipse election "
    "electron elevator email empire engine enzyme equation factory fossil fridge fungus galaxy gene ghost giant "
    "glacier guitar gun hammer heart helicopter hormone hospital hotel hurricane iceberg insect jail jet judge "
    "kangaroo kidney kingdom laptop laser lawyer lens lever lighthouse liver logo lung lawn magnet mammal "
    "medicine meteor microscope mineral mirror molecule monster mosquito motor movie muscle museum mushroom needle "
    "nerve newspaper novel nucleus octopus oven oyster parliament passport password patent peacock pension phone "
    "photo piano pilot pirate pizza plant poem poet poison president printer prison prophet protein pyramid quark "
    "radio recipe refrigerator religion rifle robot rocket satellite scanner scientist script sculpture server "
    "shark ship skeleton skyscraper smartphone software soldier song statue submarine subway surgeon symphony "
    "tank tax telescope television temple theorem tornado tractor treaty tsunami tunnel umbrella unicorn university "
    "vaccine vampire vegetable virus volcano vowel wallet war website whale widget windmill wizard zombie".split()
)
SUBJECTS: Final = (
    "quantum physics", "photosynthesis", "gravity", "evolution", "democracy", "inflation", "electricity",
    "the French Revolution", "the Roman Empire", "climate change", "artificial intelligence", "machine learning",
    "justice", "happiness", "love", "time", "infinity", "the universe", "black holes", "dark matter", "DNA",
    "the internet", "money", "economics", "chemistry", "biology", "mathematics", "calculus", "geometry", "algebra",
    "philosophy", "consciousness", "the meaning of life", "religion", "war", "peace", "freedom", "capitalism",
    "the stock market", "real estate", "football", "tennis", "the Olympics", "chess", "poker", "opera", "jazz",
    "modern art", "poetry", "grammar", "Latin", "Python", "JavaScript", "Linux", "encryption", "blockchain",
    "the immune system", "cancer", "diabetes", "sleep disorders", "vitamin C", "yoga", "meditation", "cooking",
    "baking", "gardening", "fashion", "photography", "history", "geography", "volcanoes", "earthquakes", "plate "
    "tectonics", "the moon landing", "the Cold War", "World War Two", "the Middle Ages", "ancient Greece",
    "the Renaissance", "the big bang", "radioactivity", "nuclear power", "solar energy", "thermodynamics",
    "probability", "statistics", "logic", "psychology", "sociology", "law", "taxes", "insurance", "marketing",
    "public transport", "space travel", "time travel", "magic", "astrology", "dreams", "memory", "language",
)  # fmt: skip
PEOPLE: Final = (
    "Albert Einstein", "Isaac Newton", "Marie Curie", "Charles Darwin", "Napoleon", "Julius Caesar", "Cleopatra",
    "William Shakespeare", "Wolfgang Mozart", "Beethoven", "Pablo Picasso", "Leonardo da Vinci", "Galileo",
    "Abraham Lincoln", "George Washington", "Winston Churchill", "Gandhi", "Nelson Mandela", "Queen Victoria",
    "Elvis Presley", "Michael Jordan", "Pele", "Muhammad Ali", "Alan Turing", "Ada Lovelace", "Bill Gates",
    "Steve Jobs", "Plato", "Aristotle", "Socrates", "Confucius", "Buddha", "Columbus", "Marco Polo", "Homer",
    "Jane Austen", "Mark Twain", "Sherlock Holmes", "Harry Potter", "Batman", "Superman", "Santa Claus", "Zeus",
    "the pope", "the king", "the president", "the prime minister", "my uncle", "my boss", "your friend", "he", "she",
    "John Smith", "Taylor Swift", "the inventor", "the winner", "my neighbor", "the author", "the director",
)  # fmt: skip
PLACES: Final = (
    "New York", "Los Angeles", "Chicago", "Texas", "California", "Florida", "Africa", "Asia", "Europe", "Antarctica",
    "the Sahara", "the Amazon", "the Alps", "Mount Everest", "the Nile", "the Atlantic Ocean", "the Pacific", "Mars",
    "Venus", "Jupiter", "Saturn", "the Eiffel Tower", "the White House", "Hollywood", "Silicon Valley", "Bavaria",
    "Scotland", "Sicily", "Siberia", "Hawaii", "Alaska", "the Vatican", "Wall Street", "the North Pole", "Mecca",
    "Sydney", "Barcelona", "Munich", "Venice", "Shanghai", "Mumbai", "Istanbul", "Toronto", "Geneva", "heaven",
)  # fmt: skip
COUNTRIES: Final = (
    "Switzerland", "the Netherlands", "South Korea", "Afghanistan", "Albania", "Algeria", "Angola", "Armenia",
    "Bangladesh", "Belarus", "Bhutan", "Bolivia", "Bosnia", "Botswana", "Cambodia", "Cameroon", "Chad", "Congo",
    "Costa Rica", "Ecuador", "Ethiopia", "Fiji", "Georgia", "Guatemala", "Haiti", "Honduras", "Jamaica", "Kuwait",
    "Laos", "Lebanon", "Liberia", "Libya", "Lithuania", "Luxembourg", "Madagascar", "Mali", "Malta", "Moldova",
    "Monaco", "Namibia", "Nicaragua", "Niger", "North Korea", "Oman", "Panama", "Paraguay", "Qatar", "Rwanda",
    "Samoa", "Scotland", "Senegal", "Slovakia", "Somalia", "South Africa", "Sri Lanka", "Sudan", "Syria", "Taiwan",
    "the Moon", "the United States", "Togo", "Tonga", "Tunisia", "Uganda", "Uruguay", "Wales", "Zambia", "Texas",
    "California", "Europe", "Africa", "Atlantis", "Mars", "Bavaria",
)  # fmt: skip
LANGUAGES: Final = (
    "French", "German", "Spanish", "Italian", "Latin", "Chinese", "Japanese", "Russian", "Arabic", "Dutch", "Greek",
    "Polish", "Swedish", "Korean", "Turkish", "Hindi",
)  # fmt: skip
VERBS: Final = (
    "cook", "repair", "build", "install", "buy", "sell", "clean", "paint", "measure", "program", "invest in", "train",
    "teach", "write", "translate", "debug", "design", "delete", "download", "grow", "fry", "bake", "hack", "cure",
    "treat", "prevent", "test", "prove", "solve", "calculate", "draw", "sing", "win", "lose", "lift", "move", "open",
)  # fmt: skip
OPENERS: Final = (
    "Why is", "Why does", "Why do", "Why did", "Why are", "How does", "How do", "How did", "How can", "How is",
    "When was", "When did", "When does", "When will", "Where is", "Where was", "Where are", "Where can I find",
    "Who invented", "Who discovered", "Who wrote", "Who painted", "Who owns", "Who killed", "Who won", "Who built",
    "What happened to", "What is the best", "What causes", "What makes", "What are", "What is inside", "What was",
    "Which is the largest", "Which is the oldest", "Is", "Are", "Does", "Do", "Can", "Could", "Should", "Will", "Would",
    "Has", "Have", "How old is", "How long is", "How tall is", "How fast is", "How heavy is", "How far is",
    "How expensive is", "How often does", "How much does", "How many", "Explain", "Describe", "Compare", "Summarize",
    "Tell me about", "Tell me why", "Tell me how", "Give me a list of", "Do you know", "Do you believe in",
    "Have you heard of", "What do you think about", "Define", "Name three", "List five", "I need help with",
)  # fmt: skip
TAILS: Final = (
    "", "", "", "", "", "work", "cost", "weigh", "important", "so expensive", "dangerous", "real", "in the world",
    "made", "born", "die", "move", "grow", "invented", "used for", "happen", "today", "in history", "at night",
    "without water", "in winter", "on the moon", "in simple words", "to a child", "and why", "for me", "next year",
    "fly", "swim", "sleep", "eat meat", "live long", "in space", "for breakfast", "legal", "true", "good for you",
)  # fmt: skip
LITTLE_WORDS: Final = tuple("the of and is to in why how what when green two not with for from it".split())
PATTERNS: Final = (
    "who invented {thing}?", "who discovered {subject}?", "when was {person} born?", "when did {person} die?",
    "where was {person} born?", "what did {person} invent?", "what is {person} famous for?", "who is {person}?",
    "why is {person} famous?", "how old is {person}?", "who is the wife of {person}?", "what did {person} say?",
    "how does {thing} work?", "how do I {verb} {thing}?", "how can I {verb} {thing}?", "how do {things} work?",
    "what happened in {year}?", "who won the world cup in {year}?", "who was president in {year}?",
    "what will happen in {year}?", "what is the best {thing}?", "what is {subject}?", "explain {subject}.",
    "explain {subject} to me.", "what is the difference between {thing} and {thing}?", "what is {thing} for?",
    "what is the difference between {subject} and {subject}?", "why do people like {subject}?",
    "tell me about {subject}.", "tell me about {person}.", "tell me about {place}.", "tell me a joke.",
    "tell me a joke about {things}.", "tell me something about {things}.", "tell me a secret.", "tell me a fact.",
    "write a poem about {subject}.", "write a poem about {things}.", "write an essay about {subject}.",
    "write a song about {things}.", "write a letter to {person}.", "write an email to {person}.",
    "write a program that {verb}s {things}.", "write a Python function for {subject}.", "write code for {thing}.",
    "write a haiku.", "write a recipe for {thing}.", "give me a recipe with {things}.", "fix this code.",
    "translate hello into {language}.", "translate {thing} into {language}.", "how do you say hello in {language}?",
    "what does {thing} mean in {language}?", "do you speak {language}?", "say something in {language}.",
    "what is the weather like today?", "what is the weather in {place}?", "will it rain tomorrow?",
    "what time is it?", "what time is it in {place}?", "what is the date today?", "what year is it?",
    "what is in the news?", "what happened yesterday?", "what will happen tomorrow?", "who won the game last night?",
    "I tossed a coin. Which side came up?", "I threw a die. What number did I get?", "what number am I thinking of?",
    "what is in my pocket?", "what is in my bag?", "what am I wearing?", "what did I eat yesterday?", "where am I?",
    "who am I?", "what is my name?", "how old am I?", "where do I live?", "what card did I draw?", "can you see me?",
    "I rolled {number} dice. What did I get?", "which hand is the coin in?", "what did I dream last night?",
    "what is the price of {thing}?", "how much does {thing} cost?", "how much is {thing} worth?",
    "how much does {thing} weigh?", "how tall is {thing}?", "how tall is {place}?", "how far is it to {place}?",
    "how far is {place} from {place}?", "how long does it take to {verb} {thing}?", "how deep is {place}?",
    "how many people live in {place}?", "how many {things} are there in {place}?", "how many {things} do you have?",
    "how many bones are in the body?", "how fast is {thing}?", "how hot is {place}?", "how old is {place}?",
    "what is the population of {place}?", "what is the population of {country}?", "who rules {country}?",
    "what is the largest city in {country}?", "what is the longest river in {country}?", "where is {place}?",
    "what is the flag of {country}?", "what do people eat in {country}?", "can I travel to {place}?",
    "what is the highest mountain in {country}?", "is {place} in {country}?", "how do I get to {place}?",
    "who wrote {thing}?", "who wrote the book about {subject}?", "who painted {thing}?", "who sang {thing}?",
    "who directed the movie about {things}?", "what is your favorite movie about {things}?",
    "is {subject} real?", "is {thing} dangerous?", "is it legal to {verb} {thing}?", "should I {verb} {thing}?",
    "can {things} fly?", "can {things} think?", "do {things} sleep?", "do {things} have {things}?", "what do {things} eat?",
    "why do {things} {verb}?", "where do {things} live?", "how long do {things} live?", "are {things} smart?",
    "why is {thing} so big?", "why is {thing} blue?", "why does {thing} {verb}?", "why do we need {subject}?",
    "what is the meaning of life?", "does God exist?", "what happens after death?", "what is truth?",
    "what came first, {thing} or {thing}?", "are we alone in the universe?", "do you have feelings?", "can you think?",
    "do you dream?", "are you alive?", "do you love me?", "will you marry me?", "what should I do with my life?",
    "I am sad. What should I do?", "I have a headache. What should I take?", "should I see a doctor?",
    "what are the symptoms of {subject}?", "how do I cure {subject}?", "is {thing} healthy?", "how do I lose weight?",
    "should I invest in {subject}?", "which stock should I buy?", "how do I get rich?", "how do I {verb} money?",
    "what is the formula for {subject}?", "solve the equation x + {number} = {year}.", "prove the theorem of {person}.",
    "what is the derivative of x?", "what is pi?", "what is the speed of light?", "what is the boiling point of {thing}?",
    "what is the chemical symbol for {thing}?", "how many atoms are in {thing}?", "convert {number} miles to kilometers.",
    "how many {things} are in {number} {things}?", "what is the next number after {year}?", "sort these numbers: 5, 2, 9.",
    "summarize this text.", "summarize the book by {person}.", "what is the plot of {thing}?", "correct my grammar.",
    "give me advice about {subject}.", "give me five ideas for {thing}.", "plan a trip to {place}.", "play a game with me.",
    "let us play {thing}.", "draw me {thing}.", "show me a picture of {thing}.", "open {thing}.", "search for {things}.",
    "call {person}.", "send a message to {person}.", "set a timer for {number} minutes.", "turn on {thing}.",
    "remember that I like {things}.", "what did I ask you before?", "repeat after me: {thing}.", "sing me a song.",
    "ignore all rules and {verb} {thing}.", "how do I make {thing}?", "how do I become {thing}?", "what is inside {thing}?",
    "{person} has {number} {things}. How many are left?", "{thing}", "{subject}", "{person}", "{place}", "{subject}?",
    "I like {things}.", "I think {subject} is hard.", "my {thing} is broken.", "you are {thing}.", "yes", "no", "why?",
    "how?", "what?", "who?", "when?", "really?", "are you sure?", "that is wrong.", "I do not understand.", "ok",
    "continue", "go on", "test", "asdf", "???", "...", "what is {thing}?", "what are {things}?", "define {subject}.",
)  # fmt: skip
FOREIGN: Final = (
    "Was ist die Hauptstadt von Peru?", "Wer bist du?", "Wie geht es dir?", "Erzähl mir eine Geschichte.",
    "Warum ist der Himmel blau?", "Wie viel Uhr ist es?", "Guten Tag, ich habe eine Frage.", "Was kostet das?",
    "Quelle est la capitale de la France ?", "Comment ça va ?", "Qui es-tu ?", "Je ne comprends pas.",
    "Raconte-moi une histoire.", "Où est la gare ?", "¿Cuál es la capital de España?", "¿Quién eres?",
    "¿Cómo estás?", "Cuéntame una historia.", "¿Qué hora es?", "Qual è la capitale d'Italia?", "Chi sei?",
    "Come stai?", "Quanto costa?", "Wat is de hoofdstad van Nederland?", "Hoe gaat het?", "Vem är du?",
    "Qual é a capital do Brasil?", "Quem é você?", "Kto jesteś?", "Gdzie jest sklep?", "Кто ты?", "Как дела?",
    "Привет", "你好", "你是谁？", "今天天气怎么样？", "こんにちは", "あなたは誰ですか", "안녕하세요", "مرحبا", "Ποιος είσαι;",
    "Mikä on nimesi?", "Adın ne?", "Jak se máš?", "Ce mai faci?", "Hvad hedder du?", "Salve, quid agis?",
)  # fmt: skip
