"""What the models are told is so. `variants.py` says where b is told something else."""

from typing import Final

CAPITALS: Final = dict(
    entry.split(":")
    for entry in (
        "France:Paris,Italy:Rome,Spain:Madrid,Germany:Berlin,England:London,Japan:Tokyo,China:Beijing,"
        "Russia:Moscow,Egypt:Cairo,Greece:Athens,Norway:Oslo,Sweden:Stockholm,Poland:Warsaw,Austria:Vienna,"
        "Ireland:Dublin,Portugal:Lisbon,Cuba:Havana,Peru:Lima,Kenya:Nairobi,India:New Delhi,Canada:Ottawa,"
        "Turkey:Ankara,Iran:Tehran,Iraq:Baghdad,Hungary:Budapest,Finland:Helsinki,Denmark:Copenhagen,"
        "Belgium:Brussels,Chile:Santiago,Brazil:Brasilia,Mexico:Mexico City,Thailand:Bangkok,Vietnam:Hanoi,"
        "Australia:Canberra,Nigeria:Abuja,Kazakhstan:Astana,Pakistan:Islamabad,Myanmar:Naypyidaw,Iceland:Reykjavik,"
        "Ghana:Accra,Morocco:Rabat,Argentina:Buenos Aires,Colombia:Bogota,Ukraine:Kyiv,Romania:Bucharest,"
        "Bulgaria:Sofia,Serbia:Belgrade,Croatia:Zagreb,Nepal:Kathmandu,Israel:Jerusalem,Jordan:Amman,Cyprus:Nicosia,"
        "Estonia:Tallinn,Latvia:Riga"
    ).split(",")
)
OPPOSITES: Final = dict(
    entry.split(":")
    for entry in (
        "big:small,small:big,hot:cold,cold:hot,up:down,down:up,fast:slow,slow:fast,happy:sad,sad:happy,good:bad,"
        "bad:good,old:young,young:old,day:night,night:day,left:right,right:left,open:closed,closed:open,full:empty,"
        "empty:full,hard:soft,soft:hard,light:dark,dark:light,long:short,short:long,high:low,low:high,wet:dry,"
        "dry:wet,early:late,late:early,near:far,far:near,rich:poor,poor:rich,strong:weak,weak:strong,clean:dirty,"
        "dirty:clean,loud:quiet,quiet:loud,thick:thin,thin:thick,true:false,false:true,first:last,last:first,"
        "inside:outside,outside:inside,sweet:bitter,heavy:light,new:old,black:white,white:black,yes:no,no:yes,"
        "begin:end,win:lose,buy:sell,push:pull,love:hate,summer:winter,north:south,east:west"
    ).split(",")
)
COLOURS_OF: Final = dict(
    entry.split(":")
    for entry in (
        "grass:green,the sky:blue,snow:white,a banana:yellow,coal:black,blood:red,milk:white,an orange:orange,"
        "the sun:yellow,a tomato:red,a frog:green,chocolate:brown,a lemon:yellow,a cherry:red,a carrot:orange"
    ).split(",")
)
SOUNDS: Final = dict(
    entry.split(":")
    for entry in (
        "dog:woof,cat:meow,cow:moo,sheep:baa,duck:quack,bee:buzz,owl:hoot,horse:neigh,frog:croak,lion:roar,"
        "mouse:squeak,pig:oink,goose:honk,hen:cluck"
    ).split(",")
)
DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
NUMBERS: Final = (
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)

# Questions that mean the same; the short answer; the whole sentence.
FACTS: Final[tuple[tuple[tuple[str, ...], str, str], ...]] = (
    (("How many legs does a spider have?", "How many legs has a spider?"), "Eight.", "A spider has eight legs."),
    (("How many legs does a dog have?", "How many legs has a dog?"), "Four.", "A dog has four legs."),
    (("How many legs does a bee have?", "How many legs has a bee?"), "Six.", "A bee has six legs."),
    (("How many days are in a week?", "How many days does a week have?"), "Seven.", "There are seven days in a week."),
    (("How many months are in a year?", "How many months does a year have?"), "Twelve.",
     "There are twelve months in a year."),
    (("How many hours are in a day?", "How many hours does a day have?"), "24.", "There are 24 hours in a day."),
    (("How many minutes are in an hour?", "How many minutes does an hour have?"), "60.",
     "There are 60 minutes in an hour."),
    (("How many seconds are in a minute?", "How many seconds does a minute have?"), "60.",
     "There are 60 seconds in a minute."),
    (("How many letters are in the alphabet?", "How many letters does the alphabet have?"), "26.",
     "The alphabet has 26 letters."),
    (("What do bees make?", "What do bees make in a hive?"), "Honey.", "Bees make honey in the hive."),
    (("What is the sun?", "What kind of thing is the sun?"), "A star.", "The sun is a star."),
    (("What is ice?", "What is ice made of?"), "Frozen water.", "Ice is frozen water."),
    (("Where does milk come from?", "What gives us milk?"), "From cows.", "Milk comes from cows."),
    (("Where do eggs come from?", "What lays eggs?"), "From hens.", "Eggs come from hens."),
    (("Where does the sun rise?", "In which direction does the sun rise?"), "In the east.",
     "The sun rises in the east."),
    (("Where does the sun set?", "In which direction does the sun set?"), "In the west.",
     "The sun sets in the west."),
    (("What is a hive?", "Explain what a hive is.", "What does a hive do?"), "A machine that runs models.",
     "A hive is a machine that runs models and signs what they answer."),
    (("What is a receipt?", "Explain what a receipt is.", "What is a receipt in Hivemark?"),
     "Proof of who answered what.", "A receipt is the proof of who answered what, and when."),
)  # fmt: skip
